import keras
from keras import ops

from eesmm_keras.layers._initial import dense_kernel
from eesmm_keras.layers.dropout import Dropout
from eesmm_keras.layers.patch_embedding import PatchEmbedding
from eesmm_keras.ops.attention import attention
from eesmm_keras.ops.patches import gather_cells


@keras.saving.register_keras_serializable(package="eesmm_keras")
class SubsampledAttention(keras.layers.Layer):
    """Multi-head attention of all tokens to a summary of each cell (Chu et al., 2021, Twins, Eq. 2).

    A cell of `reduction x reduction` tokens becomes one key and value, by a linear layer (a
    convolution whose stride is its kernel size) and layer normalisation.

    Args:
        dim: width of a token. num_heads: divides `dim`.
        reduction: side of a cell; with 1 every token is a key, as in plain attention.
        attention_dropout: rate on the attention weights. dropout: on the output.
        kernel_initializer: of the dense kernels, see `SwinBackbone`.

    Call: a map `(B, H, W, dim)` or tokens of whole mask units `(B, T, dim)` -> the same shape.
        `hidden_keys`: float32 `(1, 1, 1, K)`, added to the scores of the K keys.
    """

    def __init__(
        self, dim, num_heads, reduction=1, attention_dropout=0.0, dropout=0.0,
        kernel_initializer=None, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        if dim % num_heads:
            raise ValueError(f"num_heads must divide the width {dim}, got {num_heads}.")
        self.dim, self.num_heads, self.reduction = dim, num_heads, reduction
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.kernel_initializer = kernel_initializer

        def dense(width, name):
            return keras.layers.Dense(
                width, kernel_initializer=dense_kernel(kernel_initializer),
                dtype=self.dtype_policy, name=name,
            )  # fmt: skip

        self.query, self.key_value = dense(dim, "query"), dense(2 * dim, "key_value")
        self.projection = dense(dim, "projection")
        self.summary = None
        if reduction > 1:
            self.summary = PatchEmbedding(dim=dim, dtype=self.dtype_policy, name="summary")
        self.attention_drop = Dropout(attention_dropout, dtype=self.dtype_policy)
        self.drop = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape):
        for layer in (self.query, self.key_value, self.projection):
            layer.build((None, None, self.dim))
        if self.summary:
            self.summary.build((None, None, self.reduction**2 * self.dim))

    def call(self, x, hidden_keys=None, training=None):
        shape = (-1, *x.shape[1:])
        cells = self.summary(gather_cells(x, self.reduction)) if self.summary else x
        key, value = ops.split(self.key_value(cells), 2, axis=-1)
        query, key, value = (self._heads(part) for part in (self.query(x), key, value))
        scale = (self.dim // self.num_heads) ** -0.5
        drop = self.attention_drop.of_weights(training)
        x = attention(query * scale, key, value, hidden_keys, drop)
        x = ops.transpose(x, (0, 2, 1, 3))
        return self.drop(self.projection(ops.reshape(x, shape)), training=training)

    def _heads(self, x):
        """Tokens in any shape -> `(B, heads, T, dim / heads)`."""
        places = 1
        for side in x.shape[1:-1]:
            places *= side
        x = ops.reshape(x, (-1, places, self.num_heads, self.dim // self.num_heads))
        return ops.transpose(x, (0, 2, 1, 3))

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_heads": self.num_heads,
            "reduction": self.reduction,
            "attention_dropout": self.attention_dropout,
            "dropout": self.dropout,
            "kernel_initializer": self.kernel_initializer,
        }

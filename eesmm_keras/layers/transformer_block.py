import keras
from keras import ops

from eesmm_keras.layers.drop_path import DropPath
from eesmm_keras.layers.layer_normalization import LayerNormalization
from eesmm_keras.layers.mlp import MLP
from eesmm_keras.layers.recomputed import Recomputed
from eesmm_keras.layers.rows import on_rows
from eesmm_keras.ops.attention import attention


@keras.saving.register_keras_serializable(package="eesmm_keras")
class TransformerBlock(Recomputed, keras.layers.Layer):
    """Pre-normalised transformer block with global attention (Dosovitskiy et al., 2021).

    All kernels begin as Glorot (Xavier) uniform, as in MAE's public code and those that follow it.

    Args:
        dim: width of a token. num_heads: divides `dim`. mlp_ratio: MLP width over `dim`.
        dropout: rate after the MLP's layers. drop_path: stochastic depth rate of both branches.
        norm_epsilon: of both layer normalisations.

    Call: `(B, T, dim)` -> `(B, T, dim)`; with `first`, results of the tokens from that number on alone,
    which still look at all of them: `(B, T - first, dim)`.
    """

    def __init__(
        self, dim, num_heads, mlp_ratio=4.0, dropout=0.0, drop_path=0.0, norm_epsilon=1e-6, **kwargs
    ):
        super().__init__(**kwargs)
        if dim % num_heads:
            raise ValueError(f"num_heads must divide the width {dim}, got {num_heads}.")
        self.dim, self.num_heads, self.mlp_ratio = dim, num_heads, mlp_ratio
        self.dropout, self.drop_path_rate = dropout, drop_path
        self.norm_epsilon = norm_epsilon
        init = keras.initializers.GlorotUniform
        shared = {"dtype": self.dtype_policy}
        self.norm1 = LayerNormalization(epsilon=norm_epsilon, name="norm1", **shared)
        self.qkv = keras.layers.Dense(3 * dim, kernel_initializer=init(), name="qkv", **shared)
        self.projection = keras.layers.Dense(
            dim, kernel_initializer=init(), name="projection", **shared
        )
        self.norm2 = LayerNormalization(epsilon=norm_epsilon, name="norm2", **shared)
        self.mlp = MLP(
            hidden_dim=int(dim * mlp_ratio), dropout=dropout, kernel_initializer="glorot_uniform",
            name="mlp", **shared,
        )  # fmt: skip
        self.drop_path = DropPath(rate=drop_path, name="drop_path", **shared)

    def build(self, input_shape):
        for layer in (self.norm1, self.qkv, self.projection, self.norm2, self.mlp):
            layer.build(input_shape)

    def _queries_keys_values(self, x, first):
        if not first:
            return ops.split(self.qkv(x), 3, axis=-1)
        kernel, bias, dim = self.qkv.kernel, self.qkv.bias, self.dim
        query = ops.matmul(x[:, first:], kernel[:, :dim]) + bias[:dim]
        return query, *ops.split(ops.matmul(x, kernel[:, dim:]) + bias[dim:], 2, axis=-1)

    def compute_output_spec(self, x, first=0, training=None):
        """Said here, so that Keras need not trace the call to find it out."""
        shape = (x.shape[0], x.shape[1] - first, x.shape[2])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def call(self, x, first=0, training=None):
        return self.recomputed(lambda x: self._run(x, first, training), x, training)

    def _run(self, x, first, training):
        parts = self._queries_keys_values(self.norm1(x, training=training), first)
        query, key, value = (
            ops.transpose(
                ops.reshape(part, (-1, part.shape[1], self.num_heads, self.dim // self.num_heads)),
                (0, 2, 1, 3),
            )
            for part in parts
        )
        x = x[:, first:]
        scale = (self.dim // self.num_heads) ** -0.5
        y = ops.transpose(attention(query * scale, key, value), (0, 2, 1, 3))
        y = on_rows(self.projection, ops.reshape(y, (-1, x.shape[1], self.dim)), training)
        x = x + self.drop_path(y, training=training)
        y = self.mlp(self.norm2(x, training=training), training=training)
        return x + self.drop_path(y, training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "dropout": self.dropout,
            "drop_path": self.drop_path_rate,
            "norm_epsilon": self.norm_epsilon,
        }

import keras
from keras import ops

from eesmm_keras.layers._initial import dense_kernel
from eesmm_keras.layers.dropout import Dropout


@keras.saving.register_keras_serializable(package="eesmm_keras")
class WindowAttention(keras.layers.Layer):
    """Multi-head self-attention inside windows, with relative position bias (Liu et al., 2021, Eq. 4).

    Without the bias it is the locally-grouped attention of Twins (Chu et al., 2021, section 3.2).

    Which tokens form a window is not its business: a partition (`ops.partitions`) splits the
    tokens into sets, joins them again and turns the bias table into a bias.

    Args:
        dim: width of a token.
        num_heads: number of heads; divides `dim`.
        window: side of a window; the table has `(2 * window - 1)**2` rows.
        qkv_bias: whether query, key and value have a bias.
        attention_dropout: rate on the attention weights.
        dropout: rate on the output.
        kernel_initializer: of the dense kernels, see `SwinBackbone`.
        position_bias: whether there is a relative position bias.
    """

    def __init__(
        self, dim, num_heads, window, qkv_bias=True, attention_dropout=0.0, dropout=0.0,
        kernel_initializer=None, position_bias=True, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        if dim % num_heads:
            raise ValueError(f"num_heads must divide the width {dim}, got {num_heads}.")
        self.dim, self.num_heads, self.window = dim, num_heads, window
        self.qkv_bias = qkv_bias
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.kernel_initializer, self.position_bias = kernel_initializer, position_bias
        self.qkv = keras.layers.Dense(
            3 * dim, use_bias=qkv_bias, kernel_initializer=dense_kernel(kernel_initializer),
            dtype=self.dtype_policy, name="qkv",
        )  # fmt: skip
        self.projection = keras.layers.Dense(
            dim, kernel_initializer=dense_kernel(kernel_initializer),
            dtype=self.dtype_policy, name="projection",
        )  # fmt: skip
        self.attention_drop = Dropout(attention_dropout, dtype=self.dtype_policy)
        self.drop = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape):
        if self.position_bias:
            self.relative_position_table = self.add_weight(
                shape=((2 * self.window - 1) ** 2, self.num_heads),
                initializer=keras.initializers.TruncatedNormal(stddev=0.02),
                name="relative_position_table",
            )
        self.qkv.build((None, None, self.dim))
        self.projection.build((None, None, self.dim))

    def call(self, x, partition, training=None):
        """`x`: tokens as `partition` takes them; returns the same shape."""
        x = self.qkv(partition.split(x))
        sets, size = x.shape[1], x.shape[2]
        head = self.dim // self.num_heads
        query, key, value = (
            ops.transpose(
                ops.reshape(part, (-1, sets, size, self.num_heads, head)), (0, 1, 3, 2, 4)
            )
            for part in ops.split(x, 3, axis=-1)
        )
        scores = ops.matmul(query * head**-0.5, ops.swapaxes(key, -1, -2))
        scores = ops.cast(scores, "float32") + partition.bias(self._table())
        weights = ops.cast(ops.softmax(scores, axis=-1), value.dtype)
        weights = self.attention_drop(weights, training=training)
        x = ops.transpose(ops.matmul(weights, value), (0, 1, 3, 2, 4))
        x = partition.join(ops.reshape(x, (-1, sets, size, self.dim)))
        return self.drop(self.projection(x), training=training)

    def _table(self):
        """The table; without a bias zeros, for one head that stands for all."""
        if self.position_bias:
            return self.relative_position_table
        return ops.zeros(((2 * self.window - 1) ** 2, 1), "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_heads": self.num_heads,
            "window": self.window,
            "qkv_bias": self.qkv_bias,
            "attention_dropout": self.attention_dropout,
            "dropout": self.dropout,
            "kernel_initializer": self.kernel_initializer,
            "position_bias": self.position_bias,
        }

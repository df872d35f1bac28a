import math

import keras
from keras import ops

from eesmm_keras.layers._initial import dense_kernel
from eesmm_keras.layers.dropout import Dropout
from eesmm_keras.layers.rows import on_rows
from eesmm_keras.ops.attention import attention
from eesmm_keras.ops.windows import log_spaced_offsets


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
        version: 2: that of Swin V2 (Liu et al., 2022, Eq. 2 and 3): cosines of queries and keys, scaled
            by a learned number for each head, and a bias that an MLP makes of log-spaced offsets.
    """

    # How attention is computed in training: see `layers.fused`.
    fused = None

    def __init__(
        self, dim, num_heads, window, qkv_bias=True, attention_dropout=0.0, dropout=0.0,
        kernel_initializer=None, position_bias=True, version=1, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        if dim % num_heads:
            raise ValueError(f"num_heads must divide the width {dim}, got {num_heads}.")
        self.dim, self.num_heads, self.window = dim, num_heads, window
        self.qkv_bias = qkv_bias
        self.attention_dropout, self.dropout = attention_dropout, dropout
        self.kernel_initializer, self.position_bias = kernel_initializer, position_bias
        self.version = version
        self.qkv = keras.layers.Dense(
            3 * dim, use_bias=qkv_bias and version == 1, dtype=self.dtype_policy, name="qkv",
            kernel_initializer=dense_kernel(kernel_initializer),
        )  # fmt: skip
        self.projection = keras.layers.Dense(
            dim, kernel_initializer=dense_kernel(kernel_initializer),
            dtype=self.dtype_policy, name="projection",
        )  # fmt: skip
        self.attention_drop = Dropout(attention_dropout, dtype=self.dtype_policy)
        self.drop = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape):
        small, heads, weights = keras.initializers.TruncatedNormal(stddev=0.02), self.num_heads, {}
        if self.version == 2:
            self.offsets = log_spaced_offsets(self.window)
            first = keras.initializers.Constant(math.log(10))
            weights = {
                "logit_scale": ((heads, 1, 1), first), "offset_in": ((2, 512), small),
                "offset_bias": ((512,), "zeros"), "offset_out": ((512, heads), small),
            }  # fmt: skip
            if self.qkv_bias:  # Keys have none.
                weights |= {f"{part}_bias": ((self.dim,), "zeros") for part in ("query", "value")}
        elif self.position_bias:
            weights["relative_position_table"] = ((2 * self.window - 1) ** 2, heads), small
        for name, (shape, initial) in weights.items():
            setattr(self, name, self.add_weight(shape=shape, initializer=initial, name=name))
        self.qkv.build((None, None, self.dim))
        self.projection.build((None, None, self.dim))

    def call(self, x, partition, training=None):
        """`x`: tokens as `partition` takes them; returns the same shape."""
        x = on_rows(self.qkv, partition.split(x), training)
        if self.version == 2 and self.qkv_bias:
            biases = self.query_bias, ops.zeros((self.dim,)), self.value_bias
            x = x + ops.concatenate([ops.cast(bias, x.dtype) for bias in biases])
        bias = partition.bias(self._table())
        if training and self.fused and self.can_fuse(x.shape[2]):
            x = self._in_one_kernel(x, bias)
        else:
            x = self._attend(x, bias, training)
        x = partition.join(x)
        return self.drop(on_rows(self.projection, x, training), training=training)

    def _attend(self, x, bias, training):
        """`(B, sets, S, 3 * dim)`: queries, keys and values -> `(B, sets, S, dim)`."""
        sets, size = x.shape[1], x.shape[2]
        head = self.dim // self.num_heads
        query, key, value = (
            ops.transpose(
                ops.reshape(part, (-1, sets, size, self.num_heads, head)), (0, 1, 3, 2, 4)
            )
            for part in ops.split(x, 3, axis=-1)
        )
        query, key = self._scaled(query, key)
        drop = self.attention_drop.of_weights(training)
        x = ops.transpose(attention(query, key, value, bias, drop), (0, 1, 3, 2, 4))
        return ops.reshape(x, (-1, sets, size, self.dim))

    def can_fuse(self, size=None):
        """Whether `ops.fused_attention` computes what this layer does, in sets of so many tokens.

        Args:
            size: tokens; None: those of a window.
        """
        from eesmm_keras.ops.fused_attention import fits

        known = self.version == 1 and not self.attention_dropout
        return known and fits(size or self.window**2, self.dim // self.num_heads)

    def _in_one_kernel(self, x, bias):
        """What `_attend` computes, where it can be fused."""
        from eesmm_keras.ops.fused_attention import attend

        bias = ops.broadcast_to(bias, (bias.shape[0], self.num_heads, *bias.shape[2:]))
        return attend(x, bias, self.num_heads, self.fused == "interpreted")

    def _scaled(self, query, key):
        """Queries and keys whose products are the scores."""
        if self.version == 1:
            return query * (self.dim // self.num_heads) ** -0.5, key
        scale = ops.exp(ops.minimum(ops.cast(self.logit_scale, "float32"), math.log(100)))

        def unit(x):  # The padding's keys have no length.
            x = ops.cast(x, "float32")
            return x * ops.rsqrt(ops.maximum(ops.sum(x * x, axis=-1, keepdims=True), 1e-6))

        return unit(query) * scale, unit(key)

    def _table(self):
        """The table; without a bias zeros, for one head that stands for all."""
        if self.version == 2:
            hidden = ops.relu(ops.matmul(self.offsets, self.offset_in) + self.offset_bias)
            return 16 * ops.sigmoid(ops.matmul(hidden, self.offset_out))
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
            "version": self.version,
        }

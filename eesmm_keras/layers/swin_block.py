import keras

from eesmm_keras.layers.drop_path import DropPath
from eesmm_keras.layers.layer_normalization import LayerNormalization
from eesmm_keras.layers.mlp import MLP
from eesmm_keras.layers.recomputed import Recomputed
from eesmm_keras.layers.window_attention import WindowAttention


@keras.saving.register_keras_serializable(package="eesmm_keras")
class SwinBlock(Recomputed, keras.layers.Layer):
    """One Swin block (Liu et al., 2021, Eq. 3): window attention and MLP, each pre-normalised.

    In version 2 (Swin V2) what they give is normalised instead of what they take.

    Call: tokens `(B, H, W, C)` or `(B, T, C)` and the partition they attend in -> same shape.

    Args:
        dim, num_heads, window, qkv_bias, attention_dropout, dropout, kernel_initializer, version: see
            `WindowAttention`.
        mlp_ratio: MLP width over `dim`.
        drop_path: stochastic depth rate of both branches.
        norm_epsilon: of both layer normalisations.
    """

    def __init__(
        self,
        dim,
        num_heads,
        window,
        mlp_ratio=4.0,
        qkv_bias=True,
        dropout=0.0,
        attention_dropout=0.0,
        drop_path=0.0,
        kernel_initializer=None,
        norm_epsilon=1e-5,
        version=1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.dim, self.num_heads, self.window = dim, num_heads, window
        self.mlp_ratio, self.qkv_bias = mlp_ratio, qkv_bias
        self.dropout, self.attention_dropout = dropout, attention_dropout
        self.drop_path_rate, self.kernel_initializer = drop_path, kernel_initializer
        self.norm_epsilon, self.version = norm_epsilon, version
        shared = {"dtype": self.dtype_policy}
        self.norm1 = LayerNormalization(epsilon=norm_epsilon, name="norm1", **shared)
        self.attention = WindowAttention(
            dim=dim, num_heads=num_heads, window=window, qkv_bias=qkv_bias, dropout=dropout,
            attention_dropout=attention_dropout, kernel_initializer=kernel_initializer,
            version=version, name="attention", **shared,
        )  # fmt: skip
        self.norm2 = LayerNormalization(epsilon=norm_epsilon, name="norm2", **shared)
        self.mlp = MLP(
            hidden_dim=int(dim * mlp_ratio), dropout=dropout,
            kernel_initializer=kernel_initializer, name="mlp", **shared,
        )  # fmt: skip
        self.drop_path = DropPath(rate=drop_path, name="drop_path", **shared)

    def build(self, input_shape):
        self.norm1.build(input_shape)
        self.attention.build(input_shape)
        self.norm2.build(input_shape)
        self.mlp.build(input_shape)

    def call(self, x, partition, training=None):
        return self.recomputed(lambda x: self._run(x, partition, training), x, training)

    def _run(self, x, partition, training):
        after = self.version == 2
        y = x if after else self.norm1(x, training=training)
        y = self.attention(y, partition=partition, training=training)
        y = self.norm1(y, training=training) if after else y
        x = x + self.drop_path(y, training=training)
        y = x if after else self.norm2(x, training=training)
        y = self.mlp(y, training=training)
        y = self.norm2(y, training=training) if after else y
        return x + self.drop_path(y, training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_heads": self.num_heads,
            "window": self.window,
            "mlp_ratio": self.mlp_ratio,
            "qkv_bias": self.qkv_bias,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "drop_path": self.drop_path_rate,
            "kernel_initializer": self.kernel_initializer,
            "norm_epsilon": self.norm_epsilon,
            "version": self.version,
        }

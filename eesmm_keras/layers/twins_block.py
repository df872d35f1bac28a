import keras

from eesmm_keras.layers.drop_path import DropPath
from eesmm_keras.layers.mlp import MLP
from eesmm_keras.layers.subsampled_attention import SubsampledAttention
from eesmm_keras.layers.window_attention import WindowAttention


@keras.saving.register_keras_serializable(package="eesmm_keras")
class TwinsBlock(keras.layers.Layer):
    """One block of Twins (Chu et al., 2021): attention, in windows or global, and an MLP.

    Call: tokens `(B, H, W, C)` or `(B, T, C)` and the way they come in (`ops.token_maps`) -> same
        shape.

    Args:
        dim, num_heads, attention_dropout, dropout, kernel_initializer: see `WindowAttention`.
        window: side of a window; None: global attention to sub-sampled keys.
        reduction: of global attention, see `SubsampledAttention`.
        mlp_ratio: MLP width over `dim`.
        drop_path: stochastic depth rate of both branches.
        norm_epsilon: of both layer normalisations.
    """

    def __init__(
        self, dim, num_heads, window=None, reduction=1, mlp_ratio=4.0, dropout=0.0,
        attention_dropout=0.0, drop_path=0.0, kernel_initializer=None, norm_epsilon=1e-6, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.dim, self.num_heads, self.mlp_ratio = dim, num_heads, mlp_ratio
        self.window, self.reduction = window, reduction
        self.dropout, self.attention_dropout = dropout, attention_dropout
        self.drop_path_rate, self.kernel_initializer = drop_path, kernel_initializer
        self.norm_epsilon = norm_epsilon
        shared = {"dtype": self.dtype_policy}
        options = {
            "dim": dim, "num_heads": num_heads, "dropout": dropout, "name": "attention",
            "attention_dropout": attention_dropout, "kernel_initializer": kernel_initializer,
        }  # fmt: skip
        self.norm1 = keras.layers.LayerNormalization(epsilon=norm_epsilon, name="norm1", **shared)
        if window:
            self.attention = WindowAttention(
                window=window, position_bias=False, **options, **shared
            )
        else:
            self.attention = SubsampledAttention(reduction=reduction, **options, **shared)
        self.norm2 = keras.layers.LayerNormalization(epsilon=norm_epsilon, name="norm2", **shared)
        self.mlp = MLP(
            hidden_dim=int(dim * mlp_ratio), dropout=dropout,
            kernel_initializer=kernel_initializer, name="mlp", **shared,
        )  # fmt: skip
        self.drop_path = DropPath(rate=drop_path, name="drop_path", **shared)

    def build(self, input_shape):
        for layer in (self.norm1, self.attention, self.norm2, self.mlp):
            layer.build(input_shape)

    def call(self, x, tokens, training=None):
        how = {"partition": tokens.windows} if self.window else {"hidden_keys": tokens.hidden_keys}
        y = self.attention(self.norm1(x), **how, training=training)
        x = x + self.drop_path(y, training=training)
        y = self.mlp(self.norm2(x), training=training)
        return x + self.drop_path(y, training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_heads": self.num_heads,
            "window": self.window,
            "reduction": self.reduction,
            "mlp_ratio": self.mlp_ratio,
            "dropout": self.dropout,
            "attention_dropout": self.attention_dropout,
            "drop_path": self.drop_path_rate,
            "kernel_initializer": self.kernel_initializer,
            "norm_epsilon": self.norm_epsilon,
        }

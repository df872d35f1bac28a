import keras
from keras import ops

from eesmm_keras.layers._initial import dense_kernel
from eesmm_keras.layers.layer_normalization import LayerNormalization
from eesmm_keras.layers.rows import on_rows


@keras.saving.register_keras_serializable(package="eesmm_keras")
class PatchMerging(keras.layers.Layer):
    """Halves the resolution: 2x2 tokens become one, twice as wide (Liu et al., 2021, section 3.1).

    Call, dense: `(B, H, W, C)` -> `(B, H / 2, W / 2, 2C)`. Sparse, tokens of whole mask units in
    nested order (`ops.patches.nested_order`): `(B, T, C)` -> `(B, T / 4, 2C)`.

    Args:
        kernel_initializer: of the dense kernels, see `SwinBackbone`.
        norm_epsilon: of the layer normalisation.
        version: 2: what comes out is normalised, as in Swin V2, instead of what goes in.
    """

    def __init__(self, kernel_initializer=None, norm_epsilon=1e-5, version=1, **kwargs):
        super().__init__(**kwargs)
        self.version = version
        self.kernel_initializer, self.norm_epsilon = kernel_initializer, norm_epsilon
        self.norm = LayerNormalization(epsilon=norm_epsilon, dtype=self.dtype_policy, name="norm")
        self.reduction = None

    def build(self, input_shape):
        channels = input_shape[-1]
        self.reduction = keras.layers.Dense(
            2 * channels,
            use_bias=False,
            kernel_initializer=dense_kernel(self.kernel_initializer),
            dtype=self.dtype_policy,
            name="reduction",
        )
        self.norm.build((*input_shape[:-1], (4 if self.version == 1 else 2) * channels))
        self.reduction.build((*input_shape[:-1], 4 * channels))

    def call(self, x, training=None):
        channels = x.shape[-1]
        if len(x.shape) == 4:
            _, height, width, _ = x.shape
            x = ops.reshape(x, (-1, height // 2, 2, width // 2, 2, channels))
            x = ops.transpose(x, (0, 1, 3, 4, 2, 5))
            x = ops.reshape(x, (-1, height // 2, width // 2, 4 * channels))
        else:
            x = ops.reshape(x, (-1, x.shape[1] // 4, 4 * channels))
        if self.version == 1:
            return on_rows(self.reduction, self.norm(x, training=training), training)
        return self.norm(on_rows(self.reduction, x, training), training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_initializer": self.kernel_initializer,
            "norm_epsilon": self.norm_epsilon,
            "version": self.version,
        }

import keras

from eesmm_keras.layers.layer_normalization import LayerNormalization
from eesmm_keras.ops.gelu import gelu


@keras.saving.register_keras_serializable(package="eesmm_keras")
class PatchEmbedding(keras.layers.Layer):
    """Linear projection of patch pixels, then (in Swin) layer normalisation, and (in ConViT) GELU.

    It takes patches, not images (see `ops.patches`), so that the dense and the sparse path share
    it: the same as a convolution whose stride is its kernel size.

    Args:
        dim: width of a token.
        use_norm: layer normalisation of the tokens. norm_epsilon: of it.
        use_gelu: exact GELU of the normalised tokens.

    Call: `(..., patch_size**2 * channels)` -> `(..., dim)`.
    """

    def __init__(self, dim, use_norm=True, norm_epsilon=1e-5, use_gelu=False, **kwargs):
        super().__init__(**kwargs)
        self.dim, self.use_norm, self.norm_epsilon = dim, use_norm, norm_epsilon
        self.use_gelu = use_gelu
        self.projection = keras.layers.Dense(
            dim, kernel_initializer="glorot_uniform", dtype=self.dtype_policy, name="projection"
        )
        self.norm = None
        if use_norm:
            self.norm = LayerNormalization(
                epsilon=norm_epsilon, dtype=self.dtype_policy, name="norm"
            )

    def build(self, input_shape):
        self.projection.build(input_shape)
        if self.norm:
            self.norm.build((*input_shape[:-1], self.dim))

    def call(self, patches, training=None):
        x = self.projection(patches)
        x = self.norm(x, training=training) if self.norm else x
        return gelu(x, training=training) if self.use_gelu else x

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "use_norm": self.use_norm,
            "norm_epsilon": self.norm_epsilon,
            "use_gelu": self.use_gelu,
        }

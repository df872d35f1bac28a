import keras
from keras import ops

from eesmm_keras.layers.masking.per_image import PerImageMasks
from eesmm_keras.methods.hidden_pixels import HiddenPixels
from eesmm_keras.ops import masking
from eesmm_keras.ops.patches import images_to_units, take_units


@keras.saving.register_keras_serializable(package="eesmm_keras")
class SimMIM(HiddenPixels):
    """Masked image modelling with a dense encoder (Xie et al., 2022, SimMIM).

    A learned mask token stands where patches are hidden, the encoder processes all tokens, and one
    linear layer predicts the raw pixels of hidden units under an L1 loss. Every image has its own
    mask. The head runs on hidden units only: nothing else is scored.

    Args:
        backbone: encoder with `embed` and `encode_tokens`, for example `SwinBackbone`.
        mask_ratio: share of the image that is hidden, rounded up to whole squares.
        block_size: mask units are hidden in squares of this side; None makes squares of 32 pixels, as
            in the paper, where the encoder's units are smaller and divide them.
        norm_pixels: normalise each target unit by its own mean and standard deviation (the paper
            predicts raw pixels).
        loss: "l1" or "mse", over hidden pixels.
        seed: int; None draws one.

    Raises:
        ValueError: an argument of the wrong kind or out of range.
    """

    def __init__(
        self, backbone, mask_ratio=0.6, norm_pixels=False, loss="l1", block_size=None, seed=None,
        **kwargs,
    ):  # fmt: skip
        super().__init__(backbone, norm_pixels=norm_pixels, loss=loss, seed=seed, **kwargs)
        if block_size is None:
            block_size = masking.default_block_size(backbone.grid, backbone.stride)
        self.mask_ratio, self.block_size = mask_ratio, block_size
        self.mask_seeds = self.seed_generator()
        self.masking = PerImageMasks(
            grid=backbone.grid, mask_ratio=mask_ratio, seeds=self.mask_seeds, block_size=block_size
        )
        normal = keras.initializers.TruncatedNormal
        self.head = keras.layers.Dense(
            backbone.unit_pixels, kernel_initializer=normal(stddev=0.02), name="head"
        )
        self.head.build((None, None, backbone.num_features))
        self.mask_token = self.add_weight(
            shape=(backbone.embed_dim,), initializer=normal(stddev=0.02), name="mask_token"
        )
        self.built = True

    def view(self, images, mask, training):
        """One pass: images -> embed -> mask tokens -> encode -> linear head; see `HiddenPixels`."""
        pixels = self.backbone.normalization(images)
        tokens = self._replace(self.backbone.embed(pixels), mask.hidden)
        latent = self.backbone.encode_tokens(tokens, training=training)
        latent = ops.reshape(latent, (-1, self.masking.num_units, latent.shape[-1]))
        prediction = self.head(take_units(latent, mask.scored))
        return {
            "prediction": ops.cast(prediction, "float32"),
            "units": images_to_units(pixels, self.backbone.stride),
            "mask": mask,
        }

    def _replace(self, tokens, hidden):
        """Mask token on all tokens of hidden units; `tokens (B, H, W, C)`, `hidden (B, N)`."""
        rows, cols = self.backbone.grid
        hidden = ops.reshape(hidden, (-1, rows, 1, cols, 1, 1))
        height, width, channels = tokens.shape[1:]
        cells = ops.reshape(tokens, (-1, rows, height // rows, cols, width // cols, channels))
        hidden = ops.cast(hidden, tokens.dtype)
        token = ops.cast(self.mask_token, tokens.dtype)
        return ops.reshape(cells * (1 - hidden) + token * hidden, (-1, height, width, channels))

    def head_macs(self, visible, scored):
        return scored * self.backbone.num_features * self.head.units

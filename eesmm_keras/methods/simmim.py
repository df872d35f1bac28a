import keras
import numpy as np
from keras import ops

from eesmm_keras.methods.method import MaskedImageModel
from eesmm_keras.ops import losses, masking
from eesmm_keras.ops.patches import images_to_units
from eesmm_keras.parallel import draw_rows


@keras.saving.register_keras_serializable(package="eesmm_keras")
class SimMIM(MaskedImageModel):
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
    """

    def __init__(
        self,
        backbone,
        mask_ratio=0.6,
        norm_pixels=False,
        loss="l1",
        block_size=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(backbone, (), seed, **kwargs)
        self.mask_ratio, self.norm_pixels, self.loss_kind = mask_ratio, norm_pixels, loss
        if block_size is None:
            block_size = masking.default_block_size(backbone.grid, backbone.stride)
        if block_size < 1 or any(side % block_size for side in backbone.grid):
            raise ValueError(
                f"block_size must divide the {backbone.grid} mask units, got {block_size}."
            )
        self.block_size = block_size
        self.num_units = backbone.grid[0] * backbone.grid[1]
        self._members = masking.block_members(backbone.grid, block_size)
        self._hidden_blocks = masking.num_hidden(len(self._members), mask_ratio, "up")
        self.num_hidden = self._hidden_blocks * block_size**2
        self.mask_seeds = keras.random.SeedGenerator(self.seed)
        self.head = keras.layers.Dense(
            backbone.stride**2 * backbone.image_shape[-1],
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name="head",
        )
        self.head.build((None, None, backbone.num_features))
        self.mask_token = self.add_weight(
            shape=(backbone.embed_dim,),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name="mask_token",
        )
        self.built = True

    def call(self, images, hidden=None, training=False):
        """One pass: images -> embed -> mask tokens -> encode -> linear head.

        Args:
            images: `(B, H, W, C)` pixel values 0..255.
            hidden: optional masks `(B or 1, N)`, 1 = hidden, each with the same number of ones;
                concrete, not traced. None draws one for each image.

        Returns:
            dict; N units of P numbers: `prediction (B, S, P)` on the hidden units `places (B, S)`;
            `units (B, N, P)`, normalised pixels; `hidden (B, N)`.
        """
        pixels = self.backbone.normalization(images)
        places = self._places(hidden, ops.shape(images)[0])
        hidden = ops.sum(ops.one_hot(places, self.num_units, dtype="float32"), axis=1)
        tokens = self.backbone.embed(pixels)
        tokens = self._replace(tokens, hidden)
        latent = self.backbone.encode_tokens(tokens, training=training)
        latent = ops.reshape(latent, (-1, self.num_units, latent.shape[-1]))
        prediction = self.head(ops.take_along_axis(latent, places[:, :, None], axis=1))
        return {
            "prediction": ops.cast(prediction, "float32"),
            "places": places,
            "hidden": hidden,
            "units": images_to_units(pixels, self.backbone.stride),
        }

    def _places(self, hidden, batch):
        """Hidden units of each image, int `(B, S)`."""
        if hidden is None:

            def draw(rows):
                return keras.random.uniform((rows, len(self._members)), seed=self.mask_seeds)

            noise = draw_rows(draw, batch)
            blocks = ops.argsort(noise, axis=1)[:, : self._hidden_blocks]
            places = ops.take(ops.convert_to_tensor(self._members), blocks, axis=0)
            return ops.reshape(places, (-1, self.num_hidden))
        hidden = ops.convert_to_numpy(hidden).reshape(-1, self.num_units)
        order, visible = masking.unit_orders(hidden)
        places = ops.convert_to_tensor(order[:, visible:])
        return ops.broadcast_to(places, (batch, places.shape[1]))

    def _replace(self, tokens, hidden):
        """Mask token on all tokens of hidden units; `tokens (B, H, W, C)`, `hidden (B, N)`."""
        rows, cols = self.backbone.grid
        hidden = ops.reshape(hidden, (-1, rows, 1, cols, 1, 1))
        height, width, channels = tokens.shape[1:]
        cells = ops.reshape(tokens, (-1, rows, height // rows, cols, width // cols, channels))
        hidden = ops.cast(hidden, tokens.dtype)
        token = ops.cast(self.mask_token, tokens.dtype)
        return ops.reshape(cells * (1 - hidden) + token * hidden, (-1, height, width, channels))

    def _target(self, outputs):
        """Targets in the space of the loss, and their mean and scale: each `(B, S, P or 1)`."""
        target = ops.take_along_axis(outputs["units"], outputs["places"][:, :, None], axis=1)
        if not self.norm_pixels:
            return target, 0.0, 1.0
        mean, scale = losses.unit_statistics(target)
        return (target - mean) / scale, mean, scale

    def loss_terms(self, outputs):
        """Mean error over hidden pixels: `(total, {})`."""
        errors = losses.unit_errors(outputs["prediction"], self._target(outputs)[0], self.loss_kind)
        return ops.mean(errors), {}

    def pictures(self, outputs):
        """`originals`, `masked` (grey where hidden), `reconstructions`, each `(B, H, W, C)`."""
        units, hidden = outputs["units"], outputs["hidden"][:, :, None]
        _, mean, scale = self._target(outputs)
        scatter = ops.one_hot(outputs["places"], self.num_units, dtype="float32")
        predicted = ops.matmul(ops.swapaxes(scatter, 1, 2), outputs["prediction"] * scale + mean)
        pictures = {
            "originals": units,
            "masked": units * (1 - hidden),
            "reconstructions": units * (1 - hidden) + predicted * hidden,
        }
        return {name: self.to_pixels(units) for name, units in pictures.items()}

    def sample_hidden(self, seed):
        """A mask from a seed: `(1, N)`, 1 = hidden."""
        rng = np.random.default_rng(seed)
        hidden = np.zeros((1, self.num_units), "int8")
        blocks = rng.permutation(len(self._members))[: self._hidden_blocks]
        hidden[0, self._members[blocks].reshape(-1)] = 1
        return hidden

    def get_config(self):
        return {
            **super().get_config(),
            "mask_ratio": self.mask_ratio,
            "norm_pixels": self.norm_pixels,
            "loss": self.loss_kind,
            "block_size": self.block_size,
        }

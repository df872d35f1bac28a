from keras import ops

from eesmm_keras.checks import check_choice, check_flag
from eesmm_keras.methods.method import MaskedImageModel
from eesmm_keras.ops import losses
from eesmm_keras.ops.patches import put_units, take_units
from eesmm_keras.ops.targets import PixelTarget


class HiddenPixels(MaskedImageModel):
    """Methods whose loss is the error on the pixels of scored units of one image.

    Their `view` returns a dict: `prediction (B, S, P)` on the scored units; `units (B, N, P)`,
    normalised pixels of all; `mask`.

    Args:
        norm_pixels: normalise each target unit by its own mean and standard deviation.
        loss: "mse" or "l1".
    """

    def __init__(self, backbone, norm_pixels, loss, seed=None, **kwargs):
        super().__init__(backbone, seed=seed, **kwargs)
        self.norm_pixels = check_flag("norm_pixels", norm_pixels)
        self.loss_kind = check_choice("loss", loss, ("mse", "l1"))
        self.target = PixelTarget(norm_pixels)

    def view_loss(self, view):
        """Mean error over the scored units: `(total, {})`."""
        target = self.target(take_units(view["units"], view["mask"].scored))
        return ops.mean(losses.unit_errors(view["prediction"], target, self.loss_kind)), {}

    def view_pictures(self, view):
        """`originals`, `masked` (grey where hidden), `reconstructions`, each `(B, H, W, C)`."""
        units, mask = view["units"], view["mask"]
        hidden = ops.expand_dims(mask.hidden, -1)
        predicted = self.target.pixels(view["prediction"], take_units(units, mask.scored))
        predicted = put_units(predicted, mask.scored, units.shape[1])
        shown = units * (1 - hidden)
        pictures = {
            "originals": units,
            "masked": shown,
            "reconstructions": shown + predicted * hidden,
        }
        return {name: self.to_pixels(units) for name, units in pictures.items()}

"""What methods predict, and the space in which predictions are compared with it."""

from keras import ops

from eesmm_keras.checks import check_whole
from eesmm_keras.ops import losses
from eesmm_keras.ops.hog import units_hog


class PixelTarget:
    """A unit's pixels; normalised by the unit's own mean and deviation if so wished.

    Args:
        normalise: whether targets are normalised.
    """

    def __init__(self, normalise=True):
        self.normalise = normalise

    def statistics(self, units):
        """Mean and scale of `units (..., P)`: two of `(..., 1)`, or 0 and 1."""
        return losses.unit_statistics(units) if self.normalise else (0.0, 1.0)

    def __call__(self, units):
        """Target in the space of the loss."""
        if not self.normalise:
            return units
        mean, scale = self.statistics(units)
        return (units - mean) / scale

    def pixels(self, prediction, units):
        """A prediction as pixels, by the statistics of the true `units`."""
        mean, scale = self.statistics(units)
        return prediction * scale + mean


class HOGTarget:
    """Histograms of oriented gradients, whitened (MaskFeat, DMJD).

    Args:
        stride: side of a mask unit in pixels. channels: of the images.
        cell: side of a HOG cell; divides `stride`.
        whitening: "cell", by the mean and deviation of the 9 orientations of each cell and channel; or
            "unit", over the whole unit.
    """

    def __init__(self, stride, channels, cell, whitening="cell"):
        self.stride, self.channels, self.cell, self.whitening = stride, channels, cell, whitening
        self.side = stride // cell
        self.size = self.side**2 * channels * 9

    def features(self, pixels, std):
        """Normalised pixels `(B, H, W, C)` and their deviation -> `(B, N, size)`, not whitened."""
        # Gradients of pixels 0..255; what was subtracted from them does not matter.
        pixels = pixels * (255.0 * ops.convert_to_tensor(std, "float32"))
        return units_hog(pixels, self.stride, self.cell)

    def statistics(self, features):
        """Mean and scale of `features (..., size)`, which broadcast to them."""
        if self.whitening == "cell":
            return losses.cell_statistics(features)
        return losses.unit_statistics(features)

    def __call__(self, features):
        """Target in the space of the loss."""
        mean, scale = self.statistics(features)
        return (features - mean) / scale

    def strength(self, features, grid):
        """Sum over orientations and channels: `(B, N, size)` -> images `(B, H, W, C)`, grey."""
        rows, cols = grid
        x = ops.reshape(features, (-1, rows, cols, self.side, self.side, self.channels * 9))
        x = ops.transpose(ops.sum(x, axis=-1), (0, 1, 3, 2, 4))
        x = ops.reshape(x, (-1, rows * self.side, cols * self.side, 1))
        x = ops.repeat(ops.repeat(x, self.cell, axis=1), self.cell, axis=2)
        return ops.repeat(x, self.channels, axis=3)

    def pictures(self, target, predicted, grid):
        """Strength of the gradients of true and predicted features, 0..255 of the brightest true."""
        brightest = ops.max(self.strength(target, grid), axis=(1, 2, 3), keepdims=True)
        strengths = (
            self.strength(x, grid) / ops.maximum(brightest, 1e-6) for x in (target, predicted)
        )
        return tuple(ops.clip(strength, 0.0, 1.0) * 255.0 for strength in strengths)


def check_hog_cell(cell, stride):
    """Side of a HOG cell in pixels; None: 8, or the side of a mask unit (`stride`) if that is smaller.

    Raises:
        ValueError: it does not divide the unit's side.
    """
    if cell is None:
        return min(8, stride)
    if stride % check_whole("hog_cell", cell, 1, stride):
        raise ValueError(f"hog_cell must divide the mask unit's side {stride}, got {cell}.")
    return cell

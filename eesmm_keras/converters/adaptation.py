"""One array of a source for an encoder of another size."""

import math
from dataclasses import dataclass

from eesmm_keras.converters.report import CONVERTED, INTERPOLATED, MATCHED, MISSING
from eesmm_keras.errors import UserError
from eesmm_keras.names import unknown_name
from eesmm_keras.ops import resizing

# How weights are made to fit.
CHANNELS, TABLES = ("mean", "repeat", "first"), ("bicubic", "geometric")


@dataclass(frozen=True)
class Geometry:
    """What of an encoder its adaptable weights depend on.

    Attributes:
        patch_size, channels: of the patch embedding. grid: `(rows, cols)` of patches.
        mean, std: that pixels are normalised with.
    """

    patch_size: int
    channels: int
    grid: tuple
    mean: tuple
    std: tuple

    @classmethod
    def of(cls, arguments):
        """Of constructor arguments; what an encoder has none of makes no difference."""
        height, width, channels = arguments["image_shape"]
        patch = arguments.get("patch_size", 1)
        mean, std = (tuple(arguments.get(name, ())) for name in ("mean", "std"))
        return cls(patch, channels, (height // patch, width // patch), mean, std)


class Adaptation:
    """From a source's sizes to an encoder's.

    Args:
        source, target: `Geometry`.
        channels: "mean", "repeat" or "first", see `ops.resizing.change_channels`.
        tables: "bicubic" or "geometric", see `ops.resizing.resize_bias_table`.
    """

    def __init__(self, source, target, channels="mean", tables="bicubic"):
        for name, value, known in (("channels", channels, CHANNELS), ("tables", tables, TABLES)):
            if value not in known:
                raise UserError(unknown_name(name, value, known))
        self.source, self.target = source, target
        self.channels, self.tables = channels, tables
        same = source.channels == target.channels
        self._normalization = same and (source.mean, source.std) != (target.mean, target.std)

    def __call__(self, path, array, shape, kernel=None):
        """Array of our variable at `path` in the target's `shape`.

        Args:
            path: inside the encoder. array: at the source's sizes. shape: the target's.
            kernel: the source's patch embedding, which its bias needs where pixels are normalised
                otherwise.

        Returns:
            `(array, state, note)`; the array is None where it cannot be made to fit.
        """
        state, notes = MATCHED, []
        if path == "patch_embedding/projection/kernel":
            array, state, notes = self._patches(array)
        elif (
            path == "patch_embedding/projection/bias" and self._normalization and kernel is not None
        ):
            array = resizing.change_normalization(kernel, array, *self._both())[1]
            state, notes = CONVERTED, ["for the mean and deviation of this encoder"]
        elif path.endswith("relative_position_table") and array.shape[0] != shape[0]:
            if array.shape[1:] == tuple(shape[1:]):
                window = (round(shape[0] ** 0.5) + 1) // 2
                old = (round(array.shape[0] ** 0.5) + 1) // 2
                array = resizing.resize_bias_table(array, window, self.tables)
                state, notes = INTERPOLATED, [f"window {old} to {window}, {self.tables}"]
        elif path == "positions/table" and self.source.grid != self.target.grid:
            old, new = _places(self.source.grid, len(array)), _places(self.target.grid, shape[0])
            array = resizing.resize_positions(array, old, new)
            state, notes = INTERPOLATED, [f"grid {_by(old)} to {_by(new)}, bicubic"]
        if array.shape != tuple(shape):
            return None, MISSING, f"{array.shape} there, {tuple(shape)} here"
        return array.astype("float32"), state, ", ".join(notes)

    def _both(self):
        return (self.source.mean, self.source.std), (self.target.mean, self.target.std)

    def _patches(self, kernel):
        state, notes = MATCHED, []
        if self._normalization:
            nothing = kernel[0] * 0
            kernel = resizing.change_normalization(kernel, nothing, *self._both())[0]
            state, notes = CONVERTED, ["for the mean and deviation of this encoder"]
        old, new = self.source.patch_size, self.target.patch_size
        if old != new:
            kernel = resizing.resize_patch_kernel(kernel, old, new)
            state, notes = INTERPOLATED, [*notes, f"patches of {old} to {new} pixels"]
        old, new = self.source.channels, self.target.channels
        if old != new:
            kernel = resizing.change_channels(kernel, old, new, self.channels)
            state, notes = CONVERTED, [*notes, f"{old} to {new} channels, {self.channels}"]
        return kernel, state, notes


def _places(grid, count):
    """`(rows, cols)` of `count` places: fewer than patches where stages come before."""
    step = math.isqrt(grid[0] * grid[1] // count)
    return grid[0] // step, grid[1] // step


def _by(grid):
    return f"{grid[0]}x{grid[1]}"

"""What an export of a lower precision is asked for with."""

from dataclasses import dataclass
from typing import Any

from eesmm_keras.exports.errors import ExportError


@dataclass(frozen=True)
class Reduction:
    """A lower precision for an export.

    Attributes:
        precision: "float16" or "int8".
        calibration: uint8 `(N, H, W, 3)`, from which int8 takes the ranges of activations.
        images: uint8 `(N, H, W, 3)` that the export is judged on; int8 needs them too.
        labels: int64 `(N,)`, class numbers of `images`, or None.
        max_drop: points (hundredths) that a task's score may lose on labelled images.
    """

    precision: str
    calibration: Any = None
    images: Any = None
    labels: Any = None
    max_drop: float = 1.0

    def check(self, fmt, kind):
        """Raise an ExportError where a format or these images do not do.

        Args:
            fmt: name of the format. kind: `Format`.
        """
        if self.precision not in kind.precisions[1:]:
            raise ExportError(
                f"The format {fmt} is written in {' or '.join(kind.precisions)}, not in "
                f"{self.precision}."
            )
        if self.precision == "int8" and (self.calibration is None or self.images is None):
            raise ExportError(
                "int8 needs images for calibration, and others to be judged on: --data on the command "
                "line, `Reduction(calibration=..., images=...)` in Python."
            )
        if not self.max_drop >= 0:
            raise ExportError(f"Expected a `max_drop` of 0 points or more, got: {self.max_drop}")

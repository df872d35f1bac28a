"""The outcome of an export, for the screen and for programs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ExportReport:
    """What `export_model` wrote.

    Attributes:
        path: the file or folder written.
        format: name of the format.
        size_bytes: size on disk in bytes.
        outputs: shape of each output by name, None for the batch.
        max_abs_diff: largest absolute difference from Keras, by output, then by test batch.
        limits: the difference allowed for each output.
        description: what the format calls itself, with its version.
    """

    path: str
    format: str
    size_bytes: int
    outputs: dict[str, tuple]
    max_abs_diff: dict[str, dict[str, float]]
    limits: dict[str, float]
    description: str

    def __str__(self):
        lines = [f"{self.path}  ({self.description}, {self.size_bytes / 1e6:.1f} MB)"]
        for name, shape in self.outputs.items():
            dims = ", ".join("batch" if dim is None else str(dim) for dim in shape)
            found = max(self.max_abs_diff[name].values())
            lines.append(
                f"  {name} ({dims}): differs from Keras by at most {found:.1e} "
                f"(allowed {self.limits[name]:.0e})"
            )
        return "\n".join(lines)

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
        limits: the difference allowed for each output; None: any, other checks decide.
        description: what the format calls itself, with its version.
        reduction: of a lower precision than float32 (None where it is that): a dict of "precision",
            "size_bytes" and "size_bytes_float32", "latency_ratio" (time of one image over that of the
            float32 export, medians of turns on this machine), and, where there were images to judge it
            on, "checks": {what: {"value", "float32", "limit" (what it may be less), "images"}}.
    """

    path: str
    format: str
    size_bytes: int
    outputs: dict[str, tuple]
    max_abs_diff: dict[str, dict[str, float]]
    limits: dict[str, float]
    description: str
    reduction: dict | None = None

    def __str__(self):
        lines = [f"{self.path}  ({self.description}, {self.size_bytes / 1e6:.1f} MB)"]
        for name, shape in self.outputs.items():
            dims = ", ".join("batch" if dim is None else str(dim) for dim in shape)
            found, limit = max(self.max_abs_diff[name].values()), self.limits[name]
            allowed = "" if limit is None else f" (allowed {limit:.0e})"
            lines.append(f"  {name} ({dims}): differs from Keras by at most {found:.1e}{allowed}")
        lines += [f"  {line}" for line in reduction_lines(self.reduction)]
        return "\n".join(lines)


def reduction_lines(facts):
    """What is told of `ExportReport.reduction`, or of an entry of parity.json: a list of lines."""
    if not facts or "precision" not in facts:
        return []
    size, whole = facts["size_bytes"], facts["size_bytes_float32"]
    return [
        f"{facts['precision']}: {size / whole:.2f} of the size of float32 ({whole / 1e6:.1f} MB), "
        f"{facts['latency_ratio']:.2f} of its time for one image here",
        *(
            f"{name} on {found['images']:,} images: {found['value']:.4g}, float32 "
            f"{found['float32']:.4g} (allowed: {found['limit']:g} less)"
            for name, found in facts.get("checks", {}).items()
        ),
    ]

"""What both layouts of keras-hub share: HDF5 files that number a layer's variables."""

import numpy as np


def numbered(group):
    """For `Converter.renames`: Keras leaves the number 0 out of a list's names, `block`, `block_1`."""
    start = f"{group}." if group else ""
    return lambda match: f"{start}{match[1] or 0}."


class KerasHub:
    """Mixed into a converter of keras-hub's HDF5 files."""

    leaves = {"kernel": "0", "bias": "1", "gamma": "0", "beta": "1"}
    outside = {"classifier": "dense"}
    ignored = r"^optimizer\."
    note = "stated by the preset's own page"
    checked = "keras-hub 0.32, run"
    library = "keras_hub"

    def patches(self, weights):
        *patch, channels, out = weights.shape(self.anchor)
        return out, channels, patch

    def join(self, path, parts):
        return _flat(path, parts)

    def split(self, path, array, shapes):
        parts = np.split(array, len(shapes), axis=-1)
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _flat(path, parts):
    """Keras' arrays as one of ours: axes of heads, rows and columns are joined, parts put side by side.

    Args:
        path: of our variable. parts: theirs.
    """
    place, _, leaf = path.rpartition("/")
    if leaf == "kernel" and place.endswith("qkv"):
        parts = [part.reshape(len(part), -1) for part in parts]
    elif leaf == "kernel":
        parts = [part.reshape(-1, part.shape[-1]) for part in parts]
    elif leaf in ("bias", "gamma", "beta"):
        parts = [part.reshape(-1) for part in parts]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

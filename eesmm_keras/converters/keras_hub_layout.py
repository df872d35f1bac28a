"""What both layouts of keras-hub share: HDF5 files that number a layer's variables."""

import numpy as np

KERAS_LEAVES = {"kernel": "0", "bias": "1", "gamma": "0", "beta": "1"}


def numbered(group):
    """For `Converter.renames`: Keras leaves the number 0 out of a list's names, `block`, `block_1`."""
    start = f"{group}." if group else ""
    return lambda match: f"{start}{match[1] or 0}."


def flat(path, parts):
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

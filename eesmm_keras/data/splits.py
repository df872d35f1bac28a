"""The rules by which data sets are divided into parts, the same for every source."""

import os
import re

import numpy as np

from eesmm_keras.data.errors import DataError

# What `choose_part` notes of a "test" that had to be the "val" images.
NO_TEST = "There are no test images: 'test' is the validation images."
_PARTS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}


def choose_part(parts, split):
    """Which part of a data set answers for `split`.

    Args:
        parts: the parts that exist: a set of "train", and perhaps "val" and "test".
        split: None, "train", "val" or "test".

    Returns:
        `(part, piece, note)`. `piece` is "all", or "train" / "val": what is kept of `part`, or held
        out of it, by `stratified_split`. `note` tells of a "test" that had to be the "val" images.

    None is everything that pre-training may see: all of "train".
    """
    if split not in (None, "train", "val", "test"):
        raise DataError(f"split must be None, 'train', 'val' or 'test', got {split!r}.")
    if split is None:
        return "train", "all", ""
    if split in parts and (split != "train" or "val" in parts):
        return split, "all", ""
    if split == "train":
        return "train", "train", ""
    if split == "val":
        return "train", "val", ""
    part, piece, _ = choose_part(parts, "val")
    return part, piece, NO_TEST


def parts_of_files(paths, place, kind):
    """Files by the part that they are of, as the begin of their names says, or else their folder.

    Args:
        paths: of files. place: what the user named; kind: what they are, for messages.

    Returns:
        `{"train": [path, ...], ...}`, paths sorted; those that say nothing are of "train".

    Raises:
        DataError: there are no files, or none of "train".
    """
    parts = {}
    for path in sorted(paths):
        start = re.split(r"[-_.\d]", os.path.basename(path))[0].lower()
        folder = os.path.basename(os.path.dirname(path)).lower()
        parts.setdefault(_PARTS.get(start) or _PARTS.get(folder) or "train", []).append(path)
    if not parts:
        raise DataError(f"'{place}' holds no {kind}. Expected a folder, a file or a pattern.")
    if "train" not in parts:
        raise DataError(f"'{place}' holds {', '.join(sorted(parts))} {kind}, but none to train on.")
    return parts


def stratified_split(labels, fraction, seed):
    """Hold out the same share of every class, as a pure function of the arguments.

    Args:
        labels: int array `(n,)`; all zeros where there are no labels.
        fraction: share held out, in (0, 1). A class of two or more keeps and holds out at least one
            image; a class of one keeps it.
        seed: int >= 0.

    Returns:
        `(kept, held)`: ascending int64 index arrays that share nothing and together are all n.

    Raises:
        DataError: `fraction` is not in (0, 1), or no class is large enough to hold anything out.
    """
    if not 0 < fraction < 1:
        raise DataError(f"val_fraction must lie between 0 and 1, got {fraction}.")
    labels = np.asarray(labels)
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held[np.random.default_rng((seed, int(label))).permutation(members)[:count]] = True
    if not held.any():
        raise DataError(
            f"Cannot split off validation images: {len(labels)} image(s) and no class with two. "
            "Add images, or give a separate val/ folder."
        )
    return np.flatnonzero(~held), np.flatnonzero(held)


def limit_source(source, limit=None, share=None, seed=0, per_class=None):
    """A random part of a source, the same share of every class where there are labels.

    Args:
        source: `ImageSource`.
        limit: int, images wanted; None for no limit.
        share: in (0, 1], share of every class instead, at least one image each; None for all.
        seed: int >= 0: the part is a function of it.
        per_class: int >= 1, images wanted of every class instead; of a smaller class all.

    Returns:
        `ImageSource`, the same one if nothing is left out.
    """
    if per_class is not None:
        share = 0.0
    elif share is None:
        share = 1.0 if limit is None else min(1.0, limit / len(source))
    if share >= 1:
        return source
    labels = np.zeros(len(source), np.int64) if source.labels is None else source.labels
    kept = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = per_class or max(1, round(share * len(members)))
        kept.append(np.random.default_rng((seed, int(label))).permutation(members)[:count])
    return source.take(np.sort(np.concatenate(kept)))


def piece_indices(piece, labels, val_fraction, seed):
    """The indices that `piece` of `choose_part` keeps of a part's images.

    Args:
        labels: int array `(n,)`; all zeros where there are no labels.
        val_fraction, seed: see `stratified_split`.

    Returns:
        int64 array, ascending.
    """
    if piece == "all":
        return np.arange(len(labels))
    kept, held = stratified_split(labels, val_fraction, seed)
    return kept if piece == "train" else held

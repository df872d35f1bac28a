"""Folders of images: which files count, how classes and parts are told, and what is left out."""

from pathlib import Path

import numpy as np

from eesmm_keras.data._index import SUFFIXES, build_index
from eesmm_keras.data._paths import printable, scan, top_folders
from eesmm_keras.data._source import ImageSource, all_bad, choose_part, piece_indices
from eesmm_keras.data.errors import DataError

_PARTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
_LAYOUT = (
    "Labels need one folder per class, with images in it: 'cats/1.jpg', 'dogs/2.jpg' "
    "(or 'train/cats/1.jpg' and so on, with 'val' and 'test' beside 'train')."
)


def open_folder(spec, split, val_fraction, seed, labelled, max_pixels=None, follow_links=False):
    """Open a folder of images; see `sources.open_source` for the layouts and the arguments."""
    parts = find_parts(spec, follow_links)
    part, piece, note = choose_part(parts, split)
    folder = parts[part]
    index = build_index(folder, follow_links, max_pixels)
    if not len(index):
        raise DataError(
            f"'{folder}' holds no images. Expected files that end in {', '.join(SUFFIXES)}, "
            f"in the folder or in folders below it.{_links_note(index.links)}"
        )
    # The other parts number their classes as the train part does, even where they lack some.
    tops = top_folders(index.paths)
    same = part == "train"
    names = class_names(
        tops if same else top_folders(scan(parts["train"], SUFFIXES, follow_links).paths)
    )
    if labelled and names is None:
        raise _no_classes(parts["train"], tops)
    labels = None if names is None else _labels(tops, names, folder)

    # Split first: a file that turns bad must not move the others between the parts.
    chosen = piece_indices(piece, labels, len(index), val_fraction, seed)
    is_bad = np.zeros(len(index), bool)
    is_bad[list(index.reasons)] = True
    good = chosen[~is_bad[chosen]]
    bad = [(printable(index.paths[i]), index.reasons[i]) for i in chosen[is_bad[chosen]].tolist()]
    if not len(good):
        raise all_bad(str(folder), bad)
    return ImageSource(
        str(spec),
        index.paths.take(good),
        labels=None if labels is None else labels[good],
        class_names=names,
        note=f"{note}{_links_note(index.links)}".strip(),
        bad=bad,
        max_pixels=max_pixels,
    )


def find_parts(spec, follow_links=False):
    """`{"train": folder, ...}`; the root itself is the train part where it is not divided."""
    root = Path(spec)
    if not root.exists():
        raise DataError(f"There is no folder '{root}'. Check the path.")
    if not root.is_dir():
        raise DataError(f"'{root}' is a file. Expected a folder of images.")
    try:
        folders = [entry for entry in sorted(root.iterdir()) if _is_open(entry, follow_links)]
    except OSError as error:
        raise DataError(f"Cannot list '{root}': {error.strerror}.") from error
    # Any other folder means that 'train' is a class: a data set of vehicles has one.
    if root / "train" not in folders or any(f.name not in _PARTS for f in folders):
        return {"train": root}
    return {_PARTS[folder.name]: folder for folder in folders}


def _is_open(path, follow_links):
    linked = path.is_symlink() and not follow_links
    return not path.name.startswith(".") and path.is_dir() and not linked


def _links_note(links):
    if not links:
        return ""
    return f" {links} link(s) that lead out of the folder were not followed (follow_links)."


def class_names(tops):
    """The names of two or more top folders that hold all the images, or None.

    Args:
        tops: list of str, the top folder of every image, "" for none.
    """
    names = set(tops)
    return None if len(names) < 2 or "" in names else tuple(sorted(names))


def _labels(tops, names, folder):
    number = {name: label for label, name in enumerate(names)}
    unknown = sorted(set(tops) - set(names))
    if unknown:
        raise DataError(
            f"'{folder}' holds {', '.join(repr(name) for name in unknown[:5])}, which is no class "
            "folder of 'train'. Expected the same class folders in both."
        )
    return np.array([number[top] for top in tops], np.int64)


def _no_classes(folder, tops):
    names = set(tops)
    if len(names) == 1 and "" not in names:
        return DataError(
            f"'{folder}' holds one class, '{min(names)}'. Classification needs two. {_LAYOUT}"
        )
    return DataError(f"'{folder}' has no class folders, or has images beside them. {_LAYOUT}")

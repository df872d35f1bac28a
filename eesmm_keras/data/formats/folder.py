"""Folders of images: which files count, how classes and parts are told, and what is left out."""

import os
from collections import Counter
from pathlib import Path

import numpy as np

from eesmm_keras.data.errors import DataError, all_bad
from eesmm_keras.data.files import SUFFIXES, known_formats
from eesmm_keras.data.image_source import Chosen, ImageSource
from eesmm_keras.data.index import build_index
from eesmm_keras.data.listing import list_images
from eesmm_keras.data.paths import duplicate_names, printable, top_folders
from eesmm_keras.data.source import Part, Source
from eesmm_keras.data.splits import choose_part, piece_indices

_PARTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
_LAYOUT = (
    "Labels need one folder per class, with images in it: 'cats/1.jpg', 'dogs/2.jpg' "
    "(or 'train/cats/1.jpg' and so on, with 'val' and 'test' beside 'train')."
)


class Folder(Source):
    """A folder of images; see `sources.open_source` for the layouts."""

    spelling = "a folder of images (in class folders, where labels are needed)"
    asked_last = True

    def matches(self, spec):
        return os.path.exists(spec)

    def open(self, spec, split, options):
        parts = find_parts(spec, options.follow_links)
        part, piece, note = choose_part(parts, split)
        folder = parts[part]
        index = build_index(folder, options.follow_links, options.max_pixels, options.reading)
        if not len(index):
            raise DataError(
                f"'{folder}' holds no images. Expected files that end in {', '.join(_known())}, "
                f"in the folder or in folders below it.{links_note(index.links)}"
            )
        names, labels = _classes(index, folder, parts["train"], options)

        # Split first: a file that turns bad must not move the others between the parts.
        strata = np.zeros(len(index), np.int64) if labels is None else labels
        chosen = piece_indices(piece, strata, options.val_fraction, options.seed)
        is_bad = np.zeros(len(index), bool)
        is_bad[list(index.reasons)] = True
        good, left_out = chosen[~is_bad[chosen]], chosen[is_bad[chosen]].tolist()
        bad = [(printable(index.paths[i]), index.reasons[i]) for i in left_out]
        if not len(good):
            raise all_bad(str(folder), bad)
        return ImageSource(
            str(spec),
            Chosen(index.paths, good),
            labels=None if labels is None else labels[good],
            class_names=names,
            note=f"{note}{links_note(index.links)}{aside_note(index.aside)}".strip(),
            bad=bad,
            reading=index.reading,
        )

    def examine(self, spec, options):
        """What the indices of all parts tell."""
        folders = find_parts(spec, options.follow_links)
        return [_examined(name, folder, options) for name, folder in folders.items()]


def _classes(index, folder, train, options):
    """Names of the classes and the label of every image, or None twice.

    The other parts number their classes as the train part does, even where they lack some.
    """
    tops = top_folders(index.paths)
    if folder == train:
        names = class_names(tops)
    else:
        pixels = options.reading.pixels
        listing, _, _ = list_images(train, pixels, options.follow_links)
        names = class_names(top_folders(listing.paths))
    if options.labelled and names is None:
        raise _no_classes(train, tops)
    return names, None if names is None else _labels(tops, names, folder)


def _examined(name, folder, options):
    index = build_index(folder, options.follow_links, options.max_pixels, options.reading)
    good = np.ones(len(index), bool)
    good[list(index.reasons)] = False
    tops = top_folders(index.paths)
    classes = None
    if class_names(tops):
        classes = dict.fromkeys(sorted(set(tops)), 0)
        classes.update(Counter(top for top, use in zip(tops, good, strict=True) if use))
    modes = np.bincount(index.modes[good], minlength=len(index.mode_names))
    return Part(
        name,
        int(good.sum()),
        [(printable(index.paths[i]), index.reasons[i]) for i in sorted(index.reasons)],
        index.sides[good],
        {mode: int(n) for mode, n in zip(index.mode_names, modes, strict=True) if n},
        classes,
        duplicate_names(index.paths),
        int(index.sizes[index.sizes > 0].sum()),
        index.links,
    )


def find_parts(spec, follow_links=False):
    """`{"train": folder, ...}`; the root itself is the train part where it is not divided."""
    root = Path(spec)
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


def links_note(links):
    """What is told of links that were not followed; empty for none."""
    if not links:
        return ""
    return f" {links} link(s) that lead out of the folder were not followed (follow_links)."


def aside_note(count):
    """What is told of files of other formats that were not read; empty for none."""
    if not count:
        return ""
    return f" {count} file(s) of other formats were left aside: --pixels uint8 or native reads all."


def _known():
    return (*SUFFIXES, *known_formats())


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

"""Folders of images with boxes: `images/` and annotations.json of COCO, with or without parts."""

import os
from pathlib import Path

import numpy as np

from eesmm_keras.data.boxes import Boxes
from eesmm_keras.data.coco import read_coco
from eesmm_keras.data.errors import DataError, all_bad
from eesmm_keras.data.image_source import Chosen, ImageSource
from eesmm_keras.data.labels import BOXES
from eesmm_keras.data.paths import PathList, printable
from eesmm_keras.data.source import Source
from eesmm_keras.data.splits import choose_part, piece_indices

_IMAGES, _FILE = "images", "annotations.json"
_PARTS = ("train", "val", "test")


class BoxFolder(Source):
    """See `docs/detection.md` for the layouts. The annotations say which images there are."""

    spelling = f"a folder of {_IMAGES}/ and {_FILE} (COCO)"

    def matches(self, spec):
        return bool(_parts(spec))

    def open(self, spec, split, options):
        parts = _parts(spec)
        if "train" not in parts:
            raise DataError(f"'{spec}' has {', '.join(parts)}, and no train part.")
        part, piece, note = choose_part(parts, split)
        file, folder = parts[part]
        known = None if part == "train" else read_coco(parts["train"][0]).class_names
        content = read_coco(file, known)
        if not content.names:
            raise DataError(f"'{file}' lists no images.")
        if options.label_kind == BOXES and options.reading.tile is not None:
            raise DataError("--tile cuts images and not their boxes: leave it out.")
        reasons = {**content.bad, **_missing(folder, content.names, options.follow_links)}

        count = len(content.names)
        chosen = piece_indices(piece, np.zeros(count), options.val_fraction, options.seed)
        is_bad = np.zeros(count, bool)
        is_bad[list(reasons)] = True
        good, left_out = chosen[~is_bad[chosen]], chosen[is_bad[chosen]].tolist()
        bad = [(printable(os.path.join(folder, content.names[i])), reasons[i]) for i in left_out]
        if not len(good):
            raise all_bad(str(file), bad)
        most = max(len(truth.boxes) for truth in content.truths)
        return ImageSource(
            str(spec),
            PathList(str(folder), [content.names[i] for i in good]),
            labels=Boxes(Chosen(content.truths, good), most),
            class_names=content.class_names,
            note=note,
            bad=bad,
        )


def _parts(spec):
    """`{part: (annotations, folder of the images)}`; empty where `spec` is no such folder."""
    root = Path(spec)
    found = {}
    for part in _PARTS:
        for file, folder in (
            (root / part / _FILE, root / part / _IMAGES),
            (root / f"instances_{part}.json", root),
        ):
            if os.path.isfile(file) and os.path.isdir(folder):
                found.setdefault(part, (file, folder))
    if not found and os.path.isfile(root / _FILE) and os.path.isdir(root / _IMAGES):
        found["train"] = root / _FILE, root / _IMAGES
    return found


def _missing(folder, names, follow_links):
    """`{position: reason}` of images that are not there, or not below their folder."""
    root, reasons = os.path.realpath(folder), {}
    for i, name in enumerate(names):
        path = os.path.join(folder, name)
        if "\0" in name or os.path.isabs(name) or ".." in name.split("/"):
            reasons[i] = f"is not the name of a file below '{folder}'"
        elif not os.path.isfile(path):
            reasons[i] = "is not there"
        elif not follow_links and not os.path.realpath(path).startswith(root + os.sep):
            reasons[i] = "is a link that leads out of the folder (follow_links)"
    return reasons

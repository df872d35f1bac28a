"""Folders of images with masks: `images/`, `masks/` and classes.json, with or without parts."""

import json
import os
from pathlib import Path

import numpy as np

from eesmm_keras.data.errors import DataError, all_bad
from eesmm_keras.data.formats.folder import aside_note, find_parts, links_note
from eesmm_keras.data.image_source import Chosen, ImageSource
from eesmm_keras.data.index import build_index
from eesmm_keras.data.labels import MASKS
from eesmm_keras.data.lazy import Lazy
from eesmm_keras.data.masks import MOST_CLASSES, Masks
from eesmm_keras.data.paths import printable
from eesmm_keras.data.source import Source
from eesmm_keras.data.splits import choose_part, piece_indices
from eesmm_keras.names import shortened

_CLASSES, _IMAGES, _MASKS = "classes.json", "images", "masks"
_LARGEST = 2**20
_LAYOUT = (
    f"Expected images in {_IMAGES}/, a PNG of the same name for each in {_MASKS}/ (or both in train/, "
    f"and perhaps val/ and test/), and {_CLASSES} beside them: see eesmm docs segmentation."
)


class MaskFolder(Source):
    """See `docs/segmentation.md` for the layout. Masks are looked at where they are asked for."""

    spelling = f"a folder of {_IMAGES}/ and {_MASKS}/ with {_CLASSES}"

    def matches(self, spec):
        places = (
            os.path.join(spec, part, name) for part in ("", "train") for name in (_IMAGES, _MASKS)
        )
        return os.path.isfile(os.path.join(spec, _CLASSES)) and any(map(os.path.isdir, places))

    def open(self, spec, split, options):
        names, numbers, ignored = read_classes(Path(spec, _CLASSES))
        parts = find_parts(spec, options.follow_links)
        part, piece, note = choose_part(parts, split)
        images, masks = (parts[part] / name for name in (_IMAGES, _MASKS))
        for folder in (images, masks):
            if not folder.is_dir():
                raise DataError(f"There is no folder '{folder}'. {_LAYOUT}")
        index = build_index(images, options.follow_links, options.max_pixels, options.reading)
        if not len(index):
            raise DataError(f"'{images}' holds no images. {_LAYOUT}")
        paths = Lazy(len(index), lambda i: _mask_path(masks, index.paths.name(i)))
        reasons = dict(index.reasons)
        if options.label_kind == MASKS:
            if options.reading.tile is not None:
                raise DataError("--tile cuts images and not their masks: leave it out.")
            lacking = [i for i in range(len(paths)) if not os.path.isfile(paths[i])]
            reasons.update({i: f"has no mask: {paths[i]} is not there" for i in lacking})

        chosen = piece_indices(piece, np.zeros(len(index)), options.val_fraction, options.seed)
        is_bad = np.zeros(len(index), bool)
        is_bad[list(reasons)] = True
        good, left_out = chosen[~is_bad[chosen]], chosen[is_bad[chosen]].tolist()
        bad = [(printable(index.paths[i]), reasons[i]) for i in left_out]
        if not len(good):
            raise all_bad(str(images), bad)
        return ImageSource(
            str(spec),
            Chosen(index.paths, good),
            labels=Masks(Chosen(paths, good), numbers, ignored, options.max_pixels),
            class_names=names,
            note=f"{note}{links_note(index.links)}{aside_note(index.aside)}".strip(),
            bad=bad,
            reading=index.reading,
        )


def _mask_path(masks, name):
    return os.path.join(masks, os.path.splitext(name)[0] + ".png")


def read_classes(path):
    """What classes.json says: `{"names": [...], "ignore": number or null}`.

    A pixel of a mask holds the place of its class in the names, from 0.

    Returns:
        `(names, numbers, ignored)`: of the classes, without the one that is ignored (whose place may be
        in the names or not); and the number that is ignored, or None.

    Raises:
        DataError: the file says something else.
    """
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read(_LARGEST))
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' cannot be read: {shortened(error, 200)}. {_LAYOUT}") from error
    names = content.get("names") if isinstance(content, dict) else None
    ignored = content.get("ignore") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise DataError(
            f"""'{path}' must hold names, such as {{"names": ["road", "sky", "other"], "ignore": """
            f"2}}; got {shortened(content, 100)}."
        )
    if ignored is not None and (type(ignored) is not int or not 0 <= ignored < 2**16):
        raise DataError(
            f"In '{path}', ignore must be null or a number from 0 to 65535, got "
            f"{shortened(ignored, 60)}."
        )
    numbers = [number for number in range(len(names)) if number != ignored]
    classes = tuple(names[number] for number in numbers)
    if len(set(classes)) < len(classes) or not 2 <= len(classes) <= MOST_CLASSES:
        raise DataError(
            f"'{path}' must name 2 to {MOST_CLASSES} different classes beside the ignored one, got "
            f"{len(set(classes))} different of {len(classes)}."
        )
    return classes, numbers, ignored

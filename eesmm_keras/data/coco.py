"""Annotations in COCO's JSON: images, categories, and boxes around objects."""

import json
import math
from dataclasses import dataclass

import numpy as np

from eesmm_keras.data.boxes import Truth
from eesmm_keras.data.errors import DataError
from eesmm_keras.names import shortened

# Pixels by which a box may stick out of its image: annotations are rounded in many ways.
_ROUNDING = 1.0
_PARTS = ("images", "annotations", "categories")


@dataclass
class Annotations:
    """What a file says, in the order of its images.

    Attributes:
        names: list of str, `file_name` of every image. truths: list of `Truth`.
        bad: `{position: reason}` of images whose annotations are wrong.
        class_names: tuple of str, in the order of the file.
    """

    names: list
    truths: list
    bad: dict
    class_names: tuple


def read_coco(path, class_names=None):
    """`Annotations` of a JSON file.

    Args:
        path: of the file. class_names: those of the train part; None: this is it. Categories are told
            apart by their names: their `id` may differ from file to file.

    Raises:
        DataError: the file is none of COCO, or has other categories than the train part.
    """
    content = _content(path)
    numbers, names = _categories(path, content["categories"], class_names)
    images = [_image(path, entry) for entry in content["images"]]
    place = {entry["id"]: k for k, entry in enumerate(images)}
    if len(place) < len(images):
        raise DataError(f"In '{path}', two images have the same id.")
    found, bad = [[] for _ in images], {}
    for entry in content["annotations"]:
        image = entry.get("image_id") if isinstance(entry, dict) else None
        if not _is_key(image) or image not in place:
            raise DataError(
                f"In '{path}', an annotation is of no image of the file: {shortened(entry, 100)}."
            )
        k = place[image]
        try:
            found[k].append(_box(entry, images[k], numbers))
        except DataError as error:
            bad.setdefault(k, str(error))
    for k, image in enumerate(images):
        if image["reason"]:
            bad[k] = image["reason"]
    truths = [_truth(image, rows) for image, rows in zip(images, found, strict=True)]
    return Annotations([image["file_name"] for image in images], truths, bad, names)


def _content(path):
    try:
        with open(path, "rb") as file:
            content = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"'{path}' cannot be read: {shortened(error, 200)}.") from error
    lists = isinstance(content, dict) and all(isinstance(content.get(k), list) for k in _PARTS)
    if not lists:
        raise DataError(
            f"'{path}' must hold lists called {', '.join(_PARTS)}, as COCO has them; got "
            f"{shortened(list(content) if isinstance(content, dict) else content, 100)}."
        )
    return content


def _categories(path, entries, wanted):
    """`({id: class number}, names)`."""
    named = {}
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        number = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name or not _is_key(number) or number in named:
            raise DataError(
                f"In '{path}', every category needs a name and an id of its own; got "
                f"{shortened(entry, 100)}."
            )
        named[number] = name
    names = tuple(named.values()) if wanted is None else tuple(wanted)
    if not names or len(set(named.values())) < len(named):
        raise DataError(f"'{path}' must name one category or more, each once.")
    unknown = sorted(set(named.values()) - set(names))
    if unknown:
        raise DataError(
            f"'{path}' has categories that the train part does not have: "
            f"{shortened(', '.join(unknown), 100)}."
        )
    return {number: names.index(name) for number, name in named.items()}, names


def _image(path, entry):
    name = entry.get("file_name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name or not _is_key(entry.get("id")):
        raise DataError(
            f"In '{path}', every image needs a file_name and an id; got {shortened(entry, 100)}."
        )
    sides = entry.get("width"), entry.get("height")
    whole = all(type(side) is int and side > 0 for side in sides)
    reason = None if whole else "has no width and height in its annotations, in whole pixels"
    return {"id": entry["id"], "file_name": name, "size": sides, "reason": reason}


def _box(entry, image, numbers):
    """`(left, top, right, bottom, class, crowd)` of an annotation.

    Raises:
        DataError: it is wrong; the message goes on behind the name of the image.
    """
    category, box = entry.get("category_id"), entry.get("bbox")
    if not _is_key(category) or category not in numbers:
        raise DataError(f"has a box of a category that is not listed: {shortened(category, 40)}")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise DataError(
            f"has a bbox that is not four numbers, left, top, width, height: {shortened(box, 60)}"
        )
    left, top, width, height = box
    if width <= 0 or height <= 0:
        raise DataError(f"has a box without an area: {box}")
    if image["reason"] is None:
        wide, high = image["size"]
        ends = (-left, -top, left + width - wide, top + height - high)
        if max(ends) > _ROUNDING:
            raise DataError(f"has a box outside of its {wide} x {high} pixels: {box}")
        right, bottom = min(left + width, wide), min(top + height, high)
        left, top = max(left, 0), max(top, 0)
        if right <= left or bottom <= top:
            raise DataError(f"has a box outside of its {wide} x {high} pixels: {box}")
        return left, top, right, bottom, numbers[category], bool(entry.get("iscrowd"))
    return left, top, left + width, top + height, numbers[category], bool(entry.get("iscrowd"))


def _truth(image, rows):
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Truth(
        image["size"],
        table[:, :4].astype(np.float32),
        table[:, 4].astype(np.int64),
        table[:, 5] > 0,
    )


def _is_key(value):
    return type(value) in (int, str)


def _is_number(value):
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 2**31

"""Predicted masks: a PNG for each image, a row of shares, and a picture of the first ones."""

import os
from itertools import chain

import numpy as np
from PIL import Image

from eesmm_keras.data.errors import DataError
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.segmentation.colours import colours, overlay
from eesmm_keras.evaluation.segmentation.measures import NO_TILES, in_size, masks_of
from eesmm_keras.finite import check_finite
from eesmm_keras.gallery import SIDE, as_picture, save_gallery
from eesmm_keras.whole_files import write_atomically

# Names in the unfinished folder, and what the finished ones end in.
MASKS, SHEET = "masks", "png"
# Images and classes in the picture; pairs in one of its rows.
_SHOWN, _NAMED, _PAIRS = 12, 24, 3


class MaskRows:
    """Rows of a segmenter: the mask's path, and the share of the pixels that each class has.

    A mask is a grey PNG in the size of its image (upright), with the classes' numbers of classes.json.
    It lies in OUT.masks under the image's name, or its number where two names differ in their ends
    alone.

    Args:
        model: see `models.open_model`, a segmenter.
        top: must be 1. work: `Work` that the masks belong to. sliding: must be None.

    Attributes: see `predicting.ClassRows`.

    Raises:
        UserError: `top` is not 1, there are tiles, or OUT.masks is there and belongs to nothing.
    """

    several, whole_images = False, True

    def __init__(self, model, top, work, sliding=None):
        if top != 1:
            raise UserError("--top is for classifiers; this model gives every pixel one class.")
        if sliding is not None:
            raise UserError(NO_TILES)
        place = work.files[MASKS]
        if place.exists() and not work.out.exists():
            raise UserError(f"{place} already exists. Remove it, or choose another --out.")
        self.model, self.work = model, work
        self.paths = place, work.files[SHEET]
        self.folder = work.folder / MASKS
        self.names = mask_names(work.names)
        self.header = ["file", "mask", *model.class_names]
        numbers = np.array(model.class_numbers)
        self.numbers = numbers.astype(np.uint8 if numbers.max() < 256 else np.uint16)

    def ask(self, images):
        """Masks, uint8 `(B, H, W)`, of the classes' places."""
        return masks_of(check_finite(self.model.logits(images)))

    def rows(self, batch, masks):
        """Cells behind the name, of each good image of a `Batch`; the masks are written first."""
        if not len(masks):
            return []
        return [
            self._row(batch.first + place, in_size(mask, batch.sizes[place]))
            for place, mask in zip(batch.good.tolist(), masks, strict=True)
        ]

    def _row(self, number, mask):
        path = self.folder / self.names[number]
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(self.numbers[mask])
        write_atomically(path, lambda file: image.save(file, "PNG"))
        shares = np.bincount(mask.ravel(), minlength=len(self.numbers)) / mask.size
        final = os.path.join(self.work.files[MASKS].name, self.names[number])
        return [final, *(f"{share:.6g}" for share in shares)]

    def finish(self, source):
        """Draw the first images with what was said of them, and the colours of the classes."""
        pairs = []
        for number in range(len(source)):
            path = self.folder / self.names[number]
            if len(pairs) == _SHOWN:
                break
            if path.is_file():
                pairs.append(self._pair(source, number, path))
        rows = [list(chain(*pairs[k : k + _PAIRS])) for k in range(0, len(pairs), _PAIRS)]
        names = self.model.class_names
        tiles = [
            (Image.new("RGB", (SIDE, SIDE // 4), tuple(colour)), name)
            for name, colour in zip(names, colours(len(names)).tolist(), strict=True)
        ][:_NAMED]
        rows += [tiles[k : k + 2 * _PAIRS] for k in range(0, len(tiles), 2 * _PAIRS)]
        write_atomically(self.work.folder / SHEET, lambda file: save_gallery(rows, file))

    def _pair(self, source, number, path):
        try:
            image = as_picture(source.load(number))
        except DataError:  # it was there a moment ago
            return [(None, self.work.names[number]), (None, "")]
        table = np.full(2**16, 255, np.uint8)
        table[self.numbers] = np.arange(len(self.numbers))
        with Image.open(path) as file:
            mask = table[np.asarray(file)]
        return [(image, self.work.names[number]), (overlay(image, mask, len(self.numbers)), "")]


def mask_names(names):
    """Relative paths of masks, one for each image's name, all different and inside their folder."""
    stems = [os.path.splitext(_inside(name))[0] for name in names]
    if len(set(stems)) < len(stems):
        return [f"{number:08d}.png" for number in range(len(stems))]
    return [f"{stem}.png" for stem in stems]


def _inside(name):
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return os.path.join(*parts) if parts else "image"

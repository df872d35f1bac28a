"""Predicted boxes: a row for each, and a picture of the first images."""

import csv

import numpy as np

from eesmm_keras.answers.mask_rows import SHEET
from eesmm_keras.answers.work import ROWS, TEXT
from eesmm_keras.data.errors import DataError
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.detection.choosing import detections
from eesmm_keras.evaluation.detection.drawing import draw_boxes
from eesmm_keras.evaluation.detection.findings import SHOWN_SCORE
from eesmm_keras.evaluation.segmentation.measures import NO_TILES
from eesmm_keras.finite import check_finite
from eesmm_keras.gallery import as_picture, save_gallery
from eesmm_keras.whole_files import write_atomically

# Boxes of an image at most; images in the picture, and in one of its rows.
_MOST, _SHOWN, _COLUMNS = 100, 24, 6


class BoxRows:
    """Rows of a detector: class, score and corners of a box, in pixels of its image (upright).

    An image without boxes has one row, which is empty behind its name.

    Args:
        model: see `models.open_model`, a detector.
        top: must be 1. work: `Work` that the rows belong to. sliding: must be None.
        min_score: of the boxes that are told, 0 to 1; None: 0.3.

    Attributes: see `predicting.ClassRows`.

    Raises:
        UserError: `top` is not 1, or there are tiles.
    """

    several, whole_images = True, True

    def __init__(self, model, top, work, sliding=None, min_score=None):
        if top != 1:
            raise UserError("--top is for classifiers; this model gives every box one class.")
        if sliding is not None:
            raise UserError(NO_TILES)
        self.model, self.work = model, work
        self.min_score = SHOWN_SCORE if min_score is None else min_score
        self.paths = (work.files[SHEET],)
        self.header = ["file", "class", "score", "x0", "y0", "x1", "y1"]

    def ask(self, images):
        """Boxes, float32 `(B, boxes, 6)`: see `choosing.detections`; -1 where there are no more."""
        outputs = {name: check_finite(x) for name, x in self.model.boxes(images).items()}
        tables = np.full((len(images), _MOST, 6), -1, np.float32)
        for table, boxes, scores in zip(tables, outputs["boxes"], outputs["scores"], strict=True):
            found = detections(boxes, scores, self.min_score, most=_MOST)
            table[: len(found)] = found
        return tables

    def rows(self, batch, tables):
        """Rows behind the name, a list for each good image of a `Batch`."""
        return [
            self._rows(table[table[:, 4] >= 0], batch.sizes[place]) or [[""] * 6]
            for place, table in zip(batch.good.tolist(), tables, strict=True)
        ]

    def _rows(self, table, size):
        corners = table[:, :4] * np.array(size * 2)
        return [
            [self.model.class_names[int(kind)], f"{score:.4f}", *(f"{x:.2f}" for x in box)]
            for box, score, kind in zip(corners, table[:, 4], table[:, 5], strict=True)
        ]

    def finish(self, source):
        """Draw the first images with their boxes."""
        shown = {}
        with open(self.work.folder / ROWS, **TEXT) as file:
            reader = csv.reader(file)
            next(reader)
            for name, *cells in reader:
                if name not in shown and len(shown) == _SHOWN:
                    break
                shown.setdefault(name, []).append(cells)
        tiles = []
        for number in range(len(source)):
            name = self.work.names[number]
            if len(tiles) == len(shown):
                break
            if name in shown:
                tiles.append((self._picture(source, number, shown[name]), name))
        rows = [tiles[k : k + _COLUMNS] for k in range(0, len(tiles), _COLUMNS)]
        if rows:
            write_atomically(self.work.folder / SHEET, lambda file: save_gallery(rows, file))

    def _picture(self, source, number, cells):
        try:
            image = as_picture(source.load(number))
        except DataError:  # it was there a moment ago
            return None
        cells = [row for row in cells if row[0]]
        boxes = np.array([row[2:] for row in cells], np.float64).reshape(-1, 4)
        names = self.model.class_names
        classes = [names.index(row[0]) for row in cells]
        return draw_boxes(image, boxes / np.array(image.size * 2), classes, names)

"""A picture of images and their neighbours: one row a query."""

import numpy as np
from PIL import Image, ImageDraw

from eesmm_keras.data.decoding import read_rgb
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.paths import printable

_SIDE, _GAP, _TEXT = 112, 6, 30


def save_gallery(rows, path, max_pixels=None):
    """Write rows of images, each with two lines of text below it.

    Args:
        rows: list of rows; a row is a list of `(path or None, line, line)`. The first image of a row
            has a frame.
        path: of the PNG. max_pixels: see `decoding.read_rgb`.
    """
    columns = max(map(len, rows))
    width, height = _SIDE + _GAP, _SIDE + _TEXT + _GAP
    sheet = Image.new("RGB", (columns * width + 3 * _GAP, len(rows) * height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for r, row in enumerate(rows):
        for c, (image, *lines) in enumerate(row):
            left, top = _GAP + c * width + (2 * _GAP if c else 0), _GAP + r * height
            sheet.paste(_tile(image, max_pixels), (left, top))
            if c == 0:
                draw.rectangle(
                    (left - 2, top - 2, left + _SIDE + 1, top + _SIDE + 1), None, "black", 2
                )
            for k, line in enumerate(lines):
                draw.text((left, top + _SIDE + 1 + 13 * k), _fitting(draw, line), fill="black")
    sheet.save(path, "PNG")


def _tile(path, max_pixels):
    """The image within a grey square; a square with a cross where it cannot be read."""
    tile = Image.new("RGB", (_SIDE, _SIDE), "#dddddd")
    try:
        if path is None:
            raise DataError("is not there")
        image = read_rgb(path, _SIDE, max_pixels)
    except DataError:
        ImageDraw.Draw(tile).line((0, 0, _SIDE, _SIDE), "#999999", 2)
        return tile
    scale = _SIDE / max(image.size)
    size = tuple(np.maximum(np.rint(np.array(image.size) * scale), 1).astype(int).tolist())
    image = image.resize(size, Image.Resampling.BICUBIC)
    tile.paste(image, ((_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2))
    return tile


def _fitting(draw, text):
    """The end of a text that is too long: names differ there."""
    text = printable(text)
    while draw.textlength(text) > _SIDE:
        text = "…" + text[2:] if text.startswith("…") else "…" + text[1:]
    return text

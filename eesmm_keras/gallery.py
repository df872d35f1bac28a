"""Pictures of images in rows, with words below them."""

import numpy as np
from PIL import Image, ImageDraw

from eesmm_keras.data.channels import visible
from eesmm_keras.data.paths import printable

SIDE, _GAP, _LINE = 112, 6, 13


def save_gallery(rows, file, framed=False):
    """Write rows of images, each with lines of text below it.

    Args:
        rows: list of rows; a row is a list of `(image or None, *lines)`; an image is of
            Pillow, or an array of pixels 0..255 `(H, W, C)`.
        file: path, or a file open for bytes, of the PNG.
        framed: whether the first image of a row stands apart, in a frame.
    """
    lines = max((len(entry) - 1 for row in rows for entry in row), default=0)
    apart = 2 * _GAP if framed else 0
    width, height = SIDE + _GAP, SIDE + _LINE * lines + 4 + _GAP
    size = (max(map(len, rows)) * width + _GAP + apart, len(rows) * height + _GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for r, row in enumerate(rows):
        for c, (image, *texts) in enumerate(row):
            left, top = _GAP + c * width + (apart if c else 0), _GAP + r * height
            sheet.paste(_tile(image), (left, top))
            if framed and c == 0:
                draw.rectangle(
                    (left - 2, top - 2, left + SIDE + 1, top + SIDE + 1), None, "black", 2
                )
            for k, text in enumerate(texts):
                draw.text((left, top + SIDE + 1 + _LINE * k), _fitting(draw, text), fill="black")
    sheet.save(file, "PNG")


def as_picture(image):
    """A picture of Pillow, of one or of pixels 0..255 `(H, W, C)` with any number of channels."""
    return image if isinstance(image, Image.Image) else Image.fromarray(visible(image))


def _tile(image):
    """The image within a grey square; a square with a cross where there is none."""
    tile = Image.new("RGB", (SIDE, SIDE), "#dddddd")
    if image is None:
        ImageDraw.Draw(tile).line((0, 0, SIDE, SIDE), "#999999", 2)
        return tile
    image = as_picture(image)
    scale = SIDE / max(image.size)
    size = tuple(np.maximum(np.rint(np.array(image.size) * scale), 1).astype(int).tolist())
    image = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    tile.paste(image, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return tile


def _fitting(draw, text):
    """The end of a text that is too long: names of files differ there."""
    text = printable(text)
    while draw.textlength(text) > SIDE:
        text = "…" + text[2:] if text.startswith("…") else "…" + text[1:]
    return text

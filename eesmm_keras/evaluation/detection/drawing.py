"""Boxes drawn over an image, each in the colour of its class."""

import numpy as np
from PIL import Image, ImageDraw

from eesmm_keras.evaluation.segmentation.colours import colours

# Pixels of the longer side of what is drawn.
_SIDE = 224


def draw_boxes(image, boxes, classes, class_names):
    """An image with boxes and the names of their classes.

    Args:
        image: `PIL.Image.Image`, or pixels 0..255 `(H, W, 3)`.
        boxes: `(n, 4)`: left, top, right, bottom, as shares of the image's width and height.
        classes: `(n,)`, class numbers. class_names: tuple of str.

    Returns:
        `PIL.Image.Image` of mode "RGB", enlarged or shrunk.
    """
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    scale = _SIDE / max(picture.size)
    size = [max(1, round(side * scale)) for side in picture.size]
    picture = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    draw, table = ImageDraw.Draw(picture), colours(len(class_names))
    for box, kind in zip(np.asarray(boxes) * np.array(size * 2), classes, strict=True):
        colour = tuple(int(x) // 2 + 127 for x in table[int(kind)])
        left, top, right, bottom = (round(x) for x in box)
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), None, colour, 3)
        draw.text((left + 5, top + 3), class_names[int(kind)], fill=colour, stroke_width=1,
                  stroke_fill="black", font_size=18)  # fmt: skip
    return picture

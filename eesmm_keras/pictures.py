"""Grids of reconstructions, as PNG."""

from PIL import Image, ImageDraw

from eesmm_keras.data.channels import visible

_GAP = 4
_HEADER = 16


def save_grid(pictures, path, max_rows=8):
    """One row a sample, one column a picture, with a title over each column.

    Args:
        pictures: dict of pixel images 0..255 (of more than three channels the first three are shown,
            of two the first), `(M, H, W, C)` or `(M, n, H, W, C)`, which becomes n
            columns (see a method's `pictures`).
        path: of the PNG file.
        max_rows: samples shown.
    """
    columns = []
    for name, images in pictures.items():
        title = name.replace("_", " ").removesuffix("s")
        if images.ndim == 4:
            columns.append((name.replace("_", " "), images[:max_rows]))
        else:
            columns += [(f"{title} {k + 1}", images[:max_rows, k]) for k in range(images.shape[1])]
    rows, height, width = len(columns[0][1]), *columns[0][1].shape[1:3]
    zoom = max(1, 128 // height)
    height, width = height * zoom, width * zoom
    grid = Image.new(
        "RGB",
        (len(columns) * (width + _GAP) + _GAP, rows * (height + _GAP) + _GAP + _HEADER),
        "white",
    )
    draw = ImageDraw.Draw(grid)
    for number, (title, images) in enumerate(columns):
        left = _GAP + number * (width + _GAP)
        draw.text((left, 2), _fit(draw, title, width), fill="black")
        for row, image in enumerate(images):
            tile = Image.fromarray(visible(image))
            tile = tile.resize((width, height), Image.Resampling.NEAREST)
            grid.paste(tile, (left, _HEADER + _GAP + row * (height + _GAP)))
    grid.save(path)


def _fit(draw, text, width):
    while text and draw.textlength(text) > width:
        text = text[:-1]
    return text

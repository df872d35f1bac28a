import logging
from contextlib import contextmanager

import numpy as np

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.file_format import FileFormat, LacksLibrary, Picture, need

_ORIENTATION = 274
# What is no picture of its own but a smaller or a masked copy of one.
_COPIES = ("is_reduced", "is_mask")


class Tiff(FileFormat):
    """TIFF and BigTIFF of 8 to 64 bits, whole numbers or floats, by strips or tiles.

    The bands of the first page are the channels; with "all", those of all pages of its size and kind.
    Deflate and PackBits come with it, other compressions with the extra `tiff`. A window decodes only
    the strips or tiles that it touches.
    """

    suffixes = (".tif", ".tiff")
    starts = ((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+"))
    windows = True

    @contextmanager
    def open(self, file, pages="first"):
        need("tifffile", "tiff", "a TIFF file")
        import tifffile

        logging.getLogger("tifffile").setLevel(
            logging.CRITICAL
        )  # a bad file is told of once, by us
        with tifffile.TiffFile(file) as tiff:
            shown = _pages(tiff, pages)
            first = shown[0]
            for page in shown:
                _check(page, tiff.filehandle.size)
            samples = first.samplesperpixel
            tag = first.tags.get(_ORIENTATION)

            def read(top, left, height, width):
                parts = [_window(page, tiff, top, left, height, width) for page in shown]
                return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

            yield Picture(
                first.imagewidth,
                first.imagelength,
                samples * len(shown),
                np.dtype(first.dtype).name,
                read,
                int(tag.value) if tag is not None and tag.value in range(1, 9) else 1,
            )


def _pages(tiff, pages):
    first = tiff.pages[0]
    if pages == "first":
        return [first]
    kind = (first.shape, first.dtype)
    others = [page.aspage() for page in tiff.pages[1:]]
    return [
        first,
        *(
            page
            for page in others
            if (page.shape, page.dtype) == kind and not any(getattr(page, c) for c in _COPIES)
        ),
    ]


def _check(page, size):
    if page.dtype is None or page.imagedepth != 1:
        raise DataError("is a TIFF of a kind that is not read: odd bits or a volume in one page")
    ends = zip(page.dataoffsets, page.databytecounts, strict=False)
    if any(offset + count > size for offset, count in ends):
        raise DataError("is cut short")
    across, down, planes = _grid(page)
    if len(page.dataoffsets) < across * down * planes:
        raise DataError("is damaged: strips or tiles are missing")
    if page.photometric == 3:
        raise DataError("is a TIFF of palette colours; save it as RGB")


def _grid(page):
    """Tiles (or strips) across and down, and planes of them."""
    wide, high = _segment(page)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    return -(-page.imagewidth // wide), -(-page.imagelength // high), planes


def _segment(page):
    if page.is_tiled:
        return page.tilewidth, page.tilelength
    return page.imagewidth, min(page.rowsperstrip, page.imagelength)


def _window(page, tiff, top, left, height, width):
    """`(height, width, samples)`, from the segments that hold them."""
    across, down, planes = _grid(page)
    wide, high = _segment(page)
    result = np.zeros((height, width, page.samplesperpixel), page.dtype)
    for plane in range(planes):
        for row in range(top // high, min(down, -(-(top + height) // high))):
            for column in range(left // wide, min(across, -(-(left + width) // wide))):
                index = (plane * down + row) * across + column
                piece = _decoded(page, tiff, index)
                if piece is None:  # an empty segment of a sparse file
                    continue
                _paste(result, piece, row * high - top, column * wide - left, plane, planes)
    return result


def _decoded(page, tiff, index):
    count = page.databytecounts[index]
    if not count:
        return None
    handle = tiff.filehandle
    handle.seek(page.dataoffsets[index])
    try:
        data, _, _ = page.decode(handle.read(count), index, jpegtables=page.jpegtables)
    except (ValueError, KeyError, RuntimeError) as error:
        if "imagecodecs" in str(error):
            name = getattr(page.compression, "name", page.compression)
            raise LacksLibrary(
                f"is compressed by {name}, which needs imagecodecs: pip install 'eesmm-keras[tiff]'"
            ) from error
        raise
    return None if data is None else data[0]


def _paste(result, piece, top, left, plane, planes):
    """Lay a segment `(h, w, samples)` where it belongs, as far as it can be seen."""
    height, width = result.shape[:2]
    y, x = max(0, top), max(0, left)
    bottom, right = min(height, top + piece.shape[0]), min(width, left + piece.shape[1])
    seen = piece[y - top : bottom - top, x - left : right - left]
    if planes == 1:
        result[y:bottom, x:right] = seen
    else:
        result[y:bottom, x:right, plane] = seen[..., 0]

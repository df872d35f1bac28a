import io
from contextlib import contextmanager

import numpy as np

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.file_format import FileFormat, Picture


class Npy(FileFormat):
    """NumPy arrays `(H, W)`, `(H, W, C)`, or `(C, H, W)` where C is the smallest of the three.

    Nothing is unpickled. Windows are read through a map of the file.
    """

    suffixes = (".npy",)
    starts = ((0, b"\x93NUMPY"),)
    windows = True

    @contextmanager
    def open(self, file, pages="first"):
        if isinstance(file, io.BytesIO):
            array = np.lib.format.read_array(_checked(file), allow_pickle=False)
        else:
            # Maps the file: one that is cut short is refused, and nothing is read yet.
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        if array.ndim == 2:
            array = array[..., None]
        elif array.ndim == 3 and array.shape[0] < min(array.shape[1:]):
            array = np.moveaxis(array, 0, -1)
        if array.ndim != 3:
            raise DataError(f"is an array of shape {array.shape}; expected (H, W) or (H, W, C)")

        def read(top, left, height, width):
            return np.array(array[top : top + height, left : left + width])

        height, width, channels = array.shape
        yield Picture(width, height, channels, array.dtype.name, read)


def _checked(file):
    """The same bytes, once it is certain that they hold as many numbers as they say."""
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        version, np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = header(file)
    left = len(file.getbuffer()) - file.tell()
    if int(np.prod(shape, dtype=object)) * dtype.itemsize > left:
        raise DataError("is cut short")
    file.seek(0)
    return file

"""Pieces of files: where in which file one stands, and how its bytes are read."""

import os

from eesmm_keras.data.errors import DataError


def read_extent(path, offset, size):
    """`size` bytes of a file from `offset`. No file stays open, so threads and processes may share it.

    Raises:
        DataError: the file is not there, or ends before; or `size` is 0.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            data = os.pread(file.fileno(), size, offset)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error
    if len(data) < size or not size:
        raise DataError("is cut short" if size else "is empty (zero bytes)")
    return data

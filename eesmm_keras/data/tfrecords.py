"""Records of TFRecord files, read by number: a file of the format says nowhere where they begin."""

import os
import struct
from collections.abc import Sequence

import numpy as np

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.extents import read_extent

# A record is its length (8 bytes, little-endian), a checksum of that (4), the data, a checksum (4).
_LENGTH = struct.Struct("<Q")
BEFORE, AFTER = _LENGTH.size + 4, 4


def record_extents(path):
    """Where the records of a TFRecord file are, from their lengths alone.

    Returns:
        `(offsets, sizes)`: int64 arrays of the data, in bytes.

    Raises:
        DataError: the file cannot be read, or its last record is not whole.
    """
    offsets, sizes, place = [], [], 0
    try:
        with open(path, "rb", buffering=0) as file:
            end = os.fstat(file.fileno()).st_size
            while place < end:
                head = os.pread(file.fileno(), _LENGTH.size, place)
                size = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else end
                if place + BEFORE + size + AFTER > end:
                    raise DataError(f"{path} is cut short: its last record is not whole.")
                offsets.append(place + BEFORE)
                sizes.append(size)
                place += BEFORE + size + AFTER
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    return np.array(offsets, np.int64), np.array(sizes, np.int64)


class Examples(Sequence):
    """One bytes feature of `tf.train.Example` records, each read when it is asked for.

    Args:
        paths: of the files. files: int array, the file of every record. offsets, sizes: see
            `record_extents`. key: name of the feature.
    """

    def __init__(self, paths, files, offsets, sizes, key):
        self._paths = [os.fspath(path) for path in paths]
        self._files, self._offsets, self._sizes = files, offsets, sizes
        self._key = key

    def __len__(self):
        return len(self._files)

    def __getitem__(self, i):
        import tensorflow as tf
        from google.protobuf.message import DecodeError

        path = self._paths[self._files[i]]
        data = read_extent(path, int(self._offsets[i]), int(self._sizes[i]))
        try:
            return tf.train.Example.FromString(data).features.feature[self._key].bytes_list.value[0]
        except (DecodeError, IndexError) as error:
            raise DataError(f"is no tf.train.Example with the bytes '{self._key}'") from error

"""Prepared data: pictures of one size in TFRecord shards, read by offset.

SHARDS/index.json              what was prepared, and how; only whole data have it
SHARDS/train-00000.tfrecord    tf.train.Example: image/encoded (JPEG) or image/raw, sides, label, name
SHARDS/train-00000.npz         where in it every picture begins, its size and checksum
SHARDS/bad_images.txt          images that could not be read, if any
"""

import io
import json
import zipfile
from collections.abc import Sequence

import numpy as np

try:  # the same checksums in a fraction of the time (extra `fast-reading`)
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.paths import PathList
from eesmm_keras.data.places import is_address, place_of
from eesmm_keras.data.windows import StoredJpeg, StoredPixels

INDEX, KIND, VERSION = "index.json", "eesmm shards", 1
# What is known of every picture beside its name.
COLUMNS = ("offsets", "sizes", "heights", "widths", "labels", "checksums")


def is_prepared(folder):
    """Whether a folder, or an address, holds prepared data, of whatever version."""
    return _index(folder) is not None


def read_index(folder):
    """The dict in index.json.

    Raises:
        DataError: it is not there, or was written by a later version.
    """
    index = _index(folder)
    if index is None:
        raise DataError(
            f"There are no prepared data at {folder}: no {INDEX}. `eesmm prepare --out {folder}` "
            "writes them, and an address holds nothing else that can be read."
        )
    if index.get("version") != VERSION:
        raise DataError(
            f"{folder} was prepared by another version of this package (format "
            f"{index.get('version')}, and this one reads {VERSION}): prepare it again."
        )
    return index


def _index(folder):
    try:
        content = place_of(folder).read(INDEX)
    except ValueError:  # of a path: it may be anything else that is no folder
        if is_address(folder):
            raise
        return None
    try:
        index = json.loads(content or b"")
    except ValueError:
        return None
    return index if isinstance(index, dict) and index.get("kind") == KIND else None


class Shards(Sequence):
    """Pictures of some shards: `windows.StoredPicture`.

    Args:
        folder: of prepared data, or their address. names: of the shards, without their endings.
        raw: whether they hold arrays.

    Attributes:
        labels: int64 array, -1 where there is none. paths: `PathList` of the names.

    Raises:
        DataError: a shard is missing, or not as long as it was written.
    """

    def __init__(self, folder, names, raw):
        self._place, self._raw = place_of(folder), raw
        self._files = [self._place.file(f"{name}.tfrecord") for name in names]
        found = [read_columns(self._place, name) for name in names]
        for name, columns in zip(names, found, strict=True):
            _check_length(self._place, f"{name}.tfrecord", int(columns["length"]))
        counts = [len(columns["offsets"]) for columns in found]
        self._shard = np.repeat(np.arange(len(found)), counts)
        self._columns = {key: np.concatenate([one[key] for one in found]) for key in COLUMNS}
        self.labels = self._columns["labels"]
        names = (name for columns in found for name in _names(columns))
        self.paths = PathList("", names)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        here = {key: int(column[i]) for key, column in self._columns.items()}
        file = self._files[self._shard[i]]
        data = self._place.read_part(file, here["offsets"], here["sizes"])
        if crc32(data) != here["checksums"]:
            raise DataError("is damaged: its checksum is another one than when it was prepared")
        width, height = here["widths"], here["heights"]
        if self._raw:
            return StoredPixels(np.frombuffer(data, np.uint8).reshape(height, width, 3))
        return StoredJpeg(data, (width, height))

    def describe(self, i):
        """Name of picture `i` and of its shard."""
        return f"{self.paths.name(i)} in {self._files[self._shard[i]]}"


def read_columns(place, name):
    """The arrays beside a shard.

    Args:
        place: `places.Folder` or `Address`. name: of the shard, without ending.

    Raises:
        DataError: they cannot be read.
    """
    file = f"{name}.npz"
    try:
        data = io.BytesIO(place.read(file) or b"")
        with np.load(data, allow_pickle=False) as columns:
            return {key: columns[key] for key in (*COLUMNS, "blob", "ends", "length", "bad")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{place.file(file)} cannot be read ({error}): prepare the data again."
        ) from error


def _check_length(place, name, length):
    there = place.size(name) or 0
    if there != length:
        raise DataError(
            f"{place.file(name)} has {there} bytes instead of {length}: it is damaged. Remove it and "
            "its .npz, and give the same command of eesmm prepare again."
        )


def _names(columns):
    return PathList.from_parts("", bytes(columns["blob"]), columns["ends"]).names()

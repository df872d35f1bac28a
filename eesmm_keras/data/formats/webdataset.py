"""Tar shards as WebDataset writes them, read by offset."""

import glob
import os
import re
import tarfile
from collections.abc import Sequence

import numpy as np

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.extents import read_extent
from eesmm_keras.data.files import SUFFIXES, known_formats
from eesmm_keras.data.formats.folder import class_names
from eesmm_keras.data.image_source import ImageSource
from eesmm_keras.data.kept import identity, kept_arrays
from eesmm_keras.data.lazy import Lazy
from eesmm_keras.data.paths import PathList, top_folders
from eesmm_keras.data.source import Source
from eesmm_keras.data.splits import choose_part, parts_of_files, piece_indices
from eesmm_keras.progress import track

_START = "wds:"
_BLOCK = 512  # a block of zeros ends a tar file
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


class WebDataset(Source):
    """`wds:PLACE`: a folder of tar files, one tar file, or a pattern: `wds:data/train-{000..146}.tar`.

    Members are looked up by offset, in the order of their names, as if they had been unpacked: batches
    are those of the unpacked folder. The class of an image is the number in the member of its name that
    ends in `.cls`; or its top folder. Shards whose names begin with train, val or test are those parts.
    """

    spelling = "wds:FOLDER|FILE.tar|PATTERN of tar shards"

    def matches(self, spec):
        return isinstance(spec, str) and spec.startswith(_START)

    def open(self, spec, split, options):
        shards = _shards(spec)
        part, piece, note = choose_part(set(shards), split)
        members = Members(shards[part])
        labels, names = members.labels()
        if options.labelled and (names is None or len(names) < 2):
            raise DataError(
                f"'{spec}' has no labels, or one class. Classification needs two: a member NAME.cls "
                "with a number beside every image, or images in class folders."
            )
        strata = np.zeros(len(members), np.int64) if labels is None else labels
        index = piece_indices(piece, strata, options.val_fraction, options.seed)
        whole = ImageSource(
            spec, members, labels, names, note=note, ids=Lazy(len(members), members.describe)
        )
        return whole.take(index)


class Members(Sequence):
    """The images in tar files: bytes, read when they are asked for.

    Args:
        shards: paths of tar files. What is in each is looked up once and kept in the user's cache.

    Raises:
        DataError: one of them is no tar file that can be read by offset, or there are no images.
    """

    def __init__(self, shards):
        self._shards = [str(shard) for shard in shards]
        looked = (([shard], _contents(shard)) for shard in self._shards)
        found = [part for _, part in track(looked, len(shards), "looking at shards")]
        counts = [len(part["ends"]) for part in found]
        names = [name for part in found for name in _names(part)]
        keys = [name.replace("/", "\0") for name in names]
        order = np.array(sorted(range(len(names)), key=keys.__getitem__), np.int64)
        self.paths = PathList("", (names[k] for k in order))
        self.shard = np.repeat(np.arange(len(found), dtype=np.int32), counts)[order]
        self.offsets, self.sizes, self.classes = (
            np.concatenate([part[key] for part in found])[order]
            for key in ("offsets", "sizes", "classes")
        )
        if not len(self):
            more = f" and {len(shards) - 1} more" if len(shards) > 1 else ""
            raise DataError(
                f"There are no images in {self._shards[0]}{more}: expected members that end in "
                f"{', '.join((*SUFFIXES, *known_formats()))}."
            )

    def __len__(self):
        return len(self.offsets)

    def __getitem__(self, i):
        return read_extent(self._shards[self.shard[i]], int(self.offsets[i]), int(self.sizes[i]))

    def describe(self, i):
        """Name of member `i` and of its shard."""
        return f"{self.paths.name(i)} in {self._shards[self.shard[i]]}"

    def labels(self):
        """`(labels, class_names)`, or None twice.

        Raises:
            DataError: some images have a class number and some have none.
        """
        missing = int((self.classes < 0).sum())
        if not missing:
            return self.classes, tuple(map(str, range(int(self.classes.max()) + 1)))
        if missing < len(self):
            first = self.describe(int(np.flatnonzero(self.classes < 0)[0]))
            raise DataError(
                f"{missing} of {len(self)} images have no .cls member; the first: {first}."
            )
        tops = top_folders(self.paths)
        names = class_names(tops)
        number = {name: label for label, name in enumerate(names or ())}
        return (np.array([number[top] for top in tops], np.int64), names) if names else (None, None)


def _shards(spec):
    """`{part: paths of its shards, sorted}`."""
    place = spec[len(_START) :]
    if os.path.isdir(place):
        paths = glob.glob(os.path.join(glob.escape(place), "**", "*.tar"), recursive=True)
    else:
        paths = [path for pattern in _expanded(place) for path in glob.glob(pattern)]
    return parts_of_files(paths, place, "tar files")


def _expanded(pattern):
    """`a-{00..02}.tar` -> a-00.tar, a-01.tar, a-02.tar."""
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    first, last = (int(match[k]) for k in (1, 2))
    width = len(match[1])
    before, after = pattern[: match.start()], pattern[match.end() :]
    return [
        whole
        for k in range(first, min(last, first + 10**6) + 1)
        for whole in _expanded(f"{before}{k:0{width}}{after}")
    ]


def _contents(shard):
    """Of the images in a shard: names as bytes and their ends, offsets, sizes, classes (-1: none)."""
    try:
        return kept_arrays("shards", [1, *identity([shard])], lambda: _look(shard))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"{shard} cannot be read as a tar file ({error}). Expected one that is whole and not "
            "compressed: images are read by their offsets."
        ) from error


def _look(shard):
    endings = (*SUFFIXES, *known_formats())
    images, classes = [], {}
    with tarfile.open(shard, "r:") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            folder, _, base = name.rpartition("/")
            if not member.isreg() or base.startswith("."):
                continue
            key = (folder, base.partition(".")[0])
            if name.lower().endswith(endings):
                images.append((name, key, member.offset_data, member.size))
            elif name.endswith(".cls"):
                tar.fileobj.seek(member.offset_data)
                classes[key] = _class(tar.fileobj.read(min(member.size, 32)), name, shard)
            tar.members = []  # or it would keep them all
        tar.fileobj.seek(tar.offset)
        if tar.fileobj.read(_BLOCK) != bytes(_BLOCK):
            raise tarfile.ReadError("it is cut short: its end mark is missing")
    encoded = [os.fsencode(name) for name, *_ in images]
    return {
        "blob": np.frombuffer(b"".join(encoded), np.uint8),
        "ends": np.cumsum([len(name) for name in encoded], dtype=np.int64),
        "offsets": np.array([offset for _, _, offset, _ in images], np.int64),
        "sizes": np.array([size for *_, size in images], np.int64),
        "classes": np.array([classes.get(key, -1) for _, key, _, _ in images], np.int64),
    }


def _class(data, name, shard):
    try:
        number = int(data.decode().strip())
    except ValueError:
        number = -1
    if not 0 <= number < 10**6:
        raise DataError(f"{name} in {shard} holds no class number but {data!r}.")
    return number


def _names(part):
    paths = PathList.from_parts("", bytes(part["blob"]), part["ends"])
    return paths.names()

"""The index of a folder: every image file looked at once, and remembered in the user's cache.

A file that is known by path, size and time of change is not opened again. The cache is a plain
array file without pickles; one that is broken or of another folder or version is built anew.
"""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import PIL

from eesmm_keras.data.decoding import TooManyPixels, check_pixels, pixel_limit
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.file_format import LacksLibrary
from eesmm_keras.data.files import format_of
from eesmm_keras.data.kept import cache_folder, whole_file
from eesmm_keras.data.listing import list_images
from eesmm_keras.data.paths import PathList
from eesmm_keras.data.reader import check_path
from eesmm_keras.data.reading import Reading
from eesmm_keras.progress import track

# Pillow's modes are few; further ones, and kinds of numbers, are added behind these as they are met.
MODES = (
    "?",
    "1",
    "L",
    "LA",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "CMYK",
    "YCbCr",
    "I;16",
    "I",
    "RGBX",
    "RGBa",
)

_VERSION = 2
# Below this count, caching is slower than looking at the files again.
_CACHED_FROM = 200
_CHUNK = 128
# Verdicts: not looked at yet, good, and bad for a reason that `reasons` holds.
_UNKNOWN, _GOOD, _BAD = range(3)


@dataclass
class Index:
    """What is known of the image files below a folder, file by file in the order of `paths`.

    `paths`: `PathList`; `sizes`: int64, bytes; `times`: int64, ns; `sides`: int32 `(n, 2)`, width
    and height in pixels; `modes`: uint8, positions in `mode_names`; `verdicts`: uint8, internal;
    `reasons`: `{i: why file i is left out}`; `links`: how many links were not followed; `reading`:
    the `Reading` that was asked for, its pixels known; `aside`: how many files of other formats were
    left aside; `known`: how many files the cache knew.
    """

    paths: PathList
    sizes: np.ndarray
    times: np.ndarray
    sides: np.ndarray
    modes: np.ndarray
    verdicts: np.ndarray
    reasons: dict
    links: int = 0
    reading: Reading = field(default_factory=Reading)
    aside: int = 0
    known: int = 0
    mode_names: list = field(default_factory=lambda: list(MODES))

    def __len__(self):
        return len(self.paths)

    def check(self, max_pixels=None):
        """Look at the files that are not known yet, in parallel, with progress on a terminal."""
        new = np.flatnonzero(self.verdicts == _UNKNOWN)
        self.known = len(self) - len(new)
        chunks = [new[k : k + _CHUNK] for k in range(0, len(new), _CHUNK)]
        # Threads: the time goes into opening files, and Pillow works outside of Python's lock.
        with ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
            results = pool.map(lambda chunk: [self._look(i, max_pixels) for i in chunk], chunks)
            done = zip(chunks, results, strict=True)
            for chunk, looks in track(done, len(new), "looking at images"):
                for i, look in zip(chunk.tolist(), looks, strict=True):
                    self._note(i, *look)
        return len(new)

    def _look(self, i, max_pixels):
        """`(header or None, reason or None, whether the file itself is to blame)`."""
        try:
            return check_path(self.paths[i], self.reading, max_pixels), None, False
        except DataError as error:
            # Only errors of the content are cached; limits, libraries and errors of reading may change.
            passing = isinstance(error, TooManyPixels | LacksLibrary)
            passing = passing or getattr(error.__cause__, "errno", None)
            return None, str(error), not passing

    def _note(self, i, header, reason, lasting):
        if reason is not None:
            self.reasons[i] = reason
            self.verdicts[i] = _BAD if lasting else _UNKNOWN
            return
        self.verdicts[i] = _GOOD
        self.sides[i] = header.width, header.height
        if header.mode not in self.mode_names and len(self.mode_names) < 256:
            self.mode_names.append(header.mode)
        known = header.mode in self.mode_names
        self.modes[i] = self.mode_names.index(header.mode) if known else 0

    def refuse_large(self, max_pixels=None):
        """Leave out pictures with more than `max_pixels`, which the cache does not judge."""
        pixels = self.sides.astype(np.int64).prod(axis=1)
        for i in np.flatnonzero(pixels > pixel_limit(max_pixels)).tolist():
            form = format_of(self.paths[i])
            if self.reading.tile and form is not None and form.windows:
                continue  # only a window of it is ever read
            try:
                check_pixels(*self.sides[i].tolist(), max_pixels)
            except DataError as error:
                self.reasons[i] = str(error)


def build_index(folder, follow_links=False, max_pixels=None, reading=None):
    """Look at all image files below a folder; what the cache knows is not opened again.

    Args:
        folder: str or path. follow_links: see `paths.scan`. max_pixels: see `decoding.read_rgb`.
        reading: `Reading` that is asked for; None: the default.

    Returns:
        `Index`.

    Raises:
        DataError: a folder cannot be listed.
    """
    reading = reading or Reading()
    listing, pixels, aside = list_images(folder, reading.pixels, follow_links)
    count = len(listing.paths)
    index = Index(
        listing.paths,
        listing.sizes,
        listing.times,
        np.zeros((count, 2), np.int32),
        np.zeros(count, np.uint8),
        np.zeros(count, np.uint8),
        {},
        listing.links,
        reading.replaced(pixels=pixels),
        aside,
    )
    file = cache_file(folder, follow_links)
    if count >= _CACHED_FROM:
        _recall(index, file)
    new = index.check(max_pixels)
    if new and count >= _CACHED_FROM:
        _remember(index, file)
    index.refuse_large(max_pixels)
    return index


def cache_file(folder, follow_links=False):
    """Where the index of a folder is kept: in EESMM_CACHE, or else in the user's cache folder."""
    name = f"{os.path.realpath(folder)}\0{bool(follow_links)}"
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return cache_folder() / "index" / f"{digest}.npz"


def _key(paths):
    """What a cache must have been written for."""
    return {"version": _VERSION, "pillow": PIL.__version__, "root": os.path.realpath(paths.root)}


def _remember(index, file):
    """Write what was learnt, complete or not at all; a cache that cannot be written is no loss."""
    reasons = {i: why for i, why in index.reasons.items() if index.verdicts[i] == _BAD}
    known = {"reasons": reasons, "modes": index.mode_names}
    about = json.dumps({**_key(index.paths), **known}).encode()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as partial:
            np.savez(
                partial,
                about=np.frombuffer(about, np.uint8),
                blob=np.frombuffer(index.paths.blob, np.uint8),
                ends=index.paths.ends,
                sizes=index.sizes,
                times=index.times,
                sides=index.sides,
                modes=index.modes,
                verdicts=index.verdicts,
            )
    except OSError:
        pass


def _recall(index, file):
    """Take from the cache what is known of files that have not changed since."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            old = {name: arrays[name] for name in arrays.files}
        about = json.loads(bytes(old["about"]))
        reasons = {int(i): str(why) for i, why in about.pop("reasons").items()}
        names = [str(name)[:40] for name in about.pop("modes")]
        if about != _key(index.paths):
            return
        paths = PathList.from_parts(index.paths.root, bytes(old["blob"]), old["ends"])
        mine, theirs = _common(index.paths, paths)
        same = (index.sizes[mine] == old["sizes"][theirs]) & (
            index.times[mine] == old["times"][theirs]
        )
        mine, theirs = mine[same], theirs[same]
        sides, modes, verdicts = (old[name][theirs] for name in ("sides", "modes", "verdicts"))
        if sides.shape != (len(theirs), 2) or modes.max(initial=0) >= len(names):
            return
        bad = np.flatnonzero(verdicts == _BAD)
        told = {int(mine[k]): reasons[int(theirs[k])] for k in bad}
    except Exception:  # nearly anything may be wrong with a file that somebody else wrote
        return
    index.sides[mine], index.modes[mine], index.verdicts[mine] = sides, modes, verdicts
    index.reasons.update(told)
    index.mode_names = names


def _common(paths, others):
    """Positions of the names that both lists have, in each of them."""
    if paths.blob == others.blob and np.array_equal(paths.ends, others.ends):
        return np.arange(len(paths)), np.arange(len(paths))
    place = {name: i for i, name in enumerate(others.names())}
    pairs = [(i, place[name]) for i, name in enumerate(paths.names()) if name in place]
    mine, theirs = np.array(pairs, np.int64).reshape(-1, 2).T
    return mine, theirs

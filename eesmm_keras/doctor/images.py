"""What a data set holds: counts, sizes, modes, classes, and the files that cannot be used."""

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from eesmm_keras.data._folder import class_names, find_parts
from eesmm_keras.data._index import MODES, build_index
from eesmm_keras.data._paths import duplicate_names, printable, top_folders
from eesmm_keras.data.decoding import random_resized_crop
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.sources import open_source
from eesmm_keras.progress import track

# Images of which sizes are taken where no index tells them, and decoding is timed.
_SAMPLE = 256
_SAMPLE_SECONDS = 10.0


@dataclass
class Part:
    """One part (train, val, test) of a data set.

    `count`: images that can be used. `bad`: `(name, reason)` of the others. `sides`: int array
    `(n, 2)`, width and height in pixels, of all images or of a sample. `modes`: images by Pillow's
    mode. `classes`: images by class name, or None. `duplicates`: groups of names, see
    `duplicate_names`. `size`: bytes of the files, or None. `links`: links that were not followed.
    """

    name: str
    count: int
    bad: list
    sides: np.ndarray
    modes: dict
    classes: dict | None
    duplicates: list = field(default_factory=list)
    size: int | None = None
    links: int = 0


def examine(settings):
    """The parts of the data that settings name.

    Args:
        settings: `PretrainSettings`.

    Returns:
        List of `Part`, the train part first.

    Raises:
        DataError: there is no such data set, or nothing in it can be read.
    """
    if settings.data == "digits" or settings.data.startswith("tfds:"):
        parts = [_from_source(settings, split) for split in ("train", "val", "test")]
        return [part for part in parts if part is not None]
    folders = find_parts(settings.data, settings.follow_links)
    return [_from_folder(name, folder, settings) for name, folder in folders.items()]


def _from_folder(name, folder, settings):
    index = build_index(folder, settings.follow_links, settings.max_image_pixels)
    good = np.ones(len(index), bool)
    good[list(index.reasons)] = False
    tops = top_folders(index.paths)
    classes = None
    if class_names(tops):
        classes = dict.fromkeys(sorted(set(tops)), 0)
        classes.update(Counter(top for top, use in zip(tops, good, strict=True) if use))
    modes = np.bincount(index.modes[good], minlength=len(MODES))
    return Part(
        name,
        int(good.sum()),
        [(printable(index.paths[i]), index.reasons[i]) for i in sorted(index.reasons)],
        index.sides[good],
        {mode: int(n) for mode, n in zip(MODES, modes, strict=True) if n},
        classes,
        duplicate_names(index.paths),
        int(index.sizes[index.sizes > 0].sum()),
        index.links,
    )


def _from_source(settings, split):
    try:
        source = open_source(settings.data, split, data_dir=settings.data_dir)
    except DataError:
        if split == "train":
            raise
        return None
    sides = [image.size for image in _sample(source)]
    classes = None
    if source.class_names is not None:
        counts = np.bincount(source.labels, minlength=len(source.class_names))
        classes = dict(zip(source.class_names, counts.tolist(), strict=True))
    return Part(split, len(source), source.bad, np.array(sides), {}, classes)


def _sample(source, min_side=None):
    for i in np.random.default_rng(0).permutation(len(source))[:_SAMPLE].tolist():
        try:
            yield source.load(i, min_side)
        except DataError:
            continue


def decode_speed(source, image_size, crop_scale=(0.2, 1.0)):
    """Images that one core decodes and crops in a second, over a random sample.

    Args:
        source: `ImageSource`. image_size: int, side of the crops in pixels. crop_scale: see
            `random_resized_crop`.

    Returns:
        float, images per second of this thread's processor time; 0.0 if nothing can be decoded.
    """
    rng, count = np.random.default_rng(0), 0
    min_side = int(np.ceil(image_size / np.sqrt(crop_scale[0] * 0.75)))
    begin, until = time.thread_time(), time.monotonic() + _SAMPLE_SECONDS
    for image in _sample(source, min_side):
        random_resized_crop(image, image_size, rng, crop_scale)
        count += 1
        if time.monotonic() > until:
            break
    return count / max(time.thread_time() - begin, 1e-9)


def decode_all(source):
    """Decode every image, so that `source.bad` names all that fail."""

    def load(i):
        try:
            source.load(i)
        except DataError:
            return 0
        return 1

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chunks = [range(k, min(k + 64, len(source))) for k in range(0, len(source), 64)]
        done = pool.map(lambda chunk: ([load(i) for i in chunk], None), chunks)
        for _ in track(done, len(source), "decoding"):
            pass

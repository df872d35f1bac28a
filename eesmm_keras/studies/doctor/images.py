"""How fast images are decoded, and which cannot be."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.source import sample
from eesmm_keras.data.views import RandomView
from eesmm_keras.progress import track

_SAMPLE_SECONDS = 10.0


def decode_speed(source, image_size, crop_scale=(0.2, 1.0), crop_ratio=(3 / 4, 4 / 3)):
    """Images that one core decodes and crops in a second, over a random sample.

    Args:
        source: `ImageSource`. image_size: side of the crops in pixels, or `(H, W)`.
        crop_scale, crop_ratio: see `crops.random_box`.

    Returns:
        float, images per second of this thread's processor time; 0.0 if nothing can be decoded.
    """
    rng, count = np.random.default_rng(0), 0
    view = RandomView(image_size, crop_scale, crop_ratio)
    begin, until = time.thread_time(), time.monotonic() + _SAMPLE_SECONDS
    for image in sample(source, view.min_side):
        view(image, rng)
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


def say_statistics(statistics, say):
    """A table of `Statistics`, one line a channel, raw values but for mean and deviation."""
    say(f"Pixels of {statistics.images} images, {statistics.dtype}:")
    say("  channel  smallest    0.1 %   median   99.9 %  largest   mean/255    std/255")
    rows = (statistics.minimum, *(statistics.percentiles[q] for q in ("0.1", "50", "99.9")))
    rows = (*rows, statistics.maximum, statistics.mean, statistics.std)
    for number, values in enumerate(zip(*rows, strict=True), start=1):
        raw = " ".join(f"{value:8.6g}" for value in values[:5])
        say(f"  {number:7d}  {raw}   {values[5]:8.4f}   {values[6]:8.4f}")

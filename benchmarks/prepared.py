"""Reading of photographs: the folder beside its prepared shards, interleaved.

python benchmarks/prepared.py

JPEG files of 500 x 400 pixels; shards of 256 pixels of the shorter side, as JPEG and raw. All are read
by the same pipeline: random resized crops of 224 pixels, half of them mirrored, batches of 64. Speeds
are images per second of processor time over all threads; the ratio is the median over turns that stand
side by side.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from input_pipeline import make

from eesmm_keras.data.pipeline import pretrain_dataset
from eesmm_keras.data.preparing import prepare
from eesmm_keras.data.sources import open_source

BATCH, STEPS = 64, 4


def rate(source):
    """Images per second of processor time."""
    begin = time.process_time()
    for _ in pretrain_dataset(source, 224, BATCH, STEPS):
        pass
    return BATCH * STEPS / (time.process_time() - begin)


def difference(folder, shards):
    """Mean absolute difference of the pixels of one batch, 0..255."""
    both = (next(iter(pretrain_dataset(source, 224, BATCH, 1))) for source in (folder, shards))
    first, second = (np.asarray(batch, np.float32) for batch in both)
    return float(np.abs(first - second).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        (place / "folder").mkdir()
        make(place / "folder", asked.count)
        prepare(place / "folder", place / "jpeg", size=256)
        prepare(place / "folder", place / "raw", size=256, raw=True)
        sources = {name: open_source(place / name) for name in ("folder", "jpeg", "raw")}
        rates = {name: [] for name in sources}
        for turn in range(asked.turns + 1):
            for name, source in sources.items():
                found = rate(source)
                if turn:  # the first one warms up
                    rates[name].append(found)
        for name, values in rates.items():
            pairs = zip(values, rates["folder"], strict=True)
            ratio = statistics.median(a / b for a, b in pairs)
            size = sum(file.stat().st_size for file in (place / name).rglob("*") if file.is_file())
            apart = difference(sources["folder"], sources[name])
            print(
                f"{name}: {statistics.median(values):.0f} images/s a core, {ratio:.2f} x the folder, "
                f"{size / asked.count / 1024:.0f} KiB an image, pixels differ by {apart:.2f} of 255"
            )


if __name__ == "__main__":
    main()

"""Thousands of damaged image files against what the index and a decoder say of them.

python benchmarks/mutated_images.py --count 10000 --work /tmp/mutated

Every file is a real photograph in one of five formats with bytes changed, cut, doubled, zeroed or
its header altered. No file may crash, hang or fill the memory; the index must name every file that
cannot be decoded at a small part of decoding's cost, or leave it to the run, which skips it.
"""

import argparse
import io
import resource
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = {"JPEG": "jpg", "PNG": "png", "BMP": "bmp", "GIF": "gif", "WEBP": "webp"}


def originals(side=160):
    """`[(suffix, bytes)]` of scikit-learn's photographs in every format."""
    from sklearn.datasets import load_sample_images

    for pixels in load_sample_images().images:
        image = Image.fromarray(pixels).resize((side, side * 2 // 3))
        for form, suffix in FORMATS.items():
            for mode in ("RGB", "L"):
                buffer = io.BytesIO()
                image.convert(mode).save(buffer, form)
                yield suffix, buffer.getvalue()


def mutate(data, rng):
    """One of seven kinds of damage."""
    data = bytearray(data)
    kind, size = rng.integers(7), len(data)
    at = int(rng.integers(size))
    if kind == 0:  # single bytes anywhere
        for k in rng.integers(size, size=int(rng.integers(1, 20))):
            data[k] = rng.integers(256)
    elif kind == 1:  # the header
        for k in rng.integers(min(64, size), size=3):
            data[k] = rng.integers(256)
    elif kind == 2:
        del data[at:]
    elif kind == 3:
        data[at : at + 500] = bytes(len(data[at : at + 500]))
    elif kind == 4:
        data[at:at] = data[at // 2 : at]
    elif kind == 5:
        data[at:] = rng.bytes(size - at)
    else:  # huge numbers where sizes stand
        data[at % 64 : at % 64 + 4] = b"\xff\xff\xff\x7f"
    return bytes(data)


def make(folder, count, seed=0):
    """`count` damaged files, and one in twenty whole ones."""
    rng, files = np.random.default_rng(seed), list(originals())
    folder.mkdir(parents=True)
    for i in range(count):
        suffix, data = files[i % len(files)]
        whole = i % 20 == 0
        (folder / f"{i:06}.{suffix}").write_bytes(data if whole else mutate(data, rng))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--work", type=Path, help="Keeps the images there. Default: temporary.")
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp())
    folder = work / "images"
    if not folder.exists():
        make(folder, arguments.count)

    from eesmm_keras.data.decoding import read_rgb
    from eesmm_keras.data.errors import DataError
    from eesmm_keras.data.index import build_index

    begin = time.perf_counter()
    index = build_index(folder)
    looked, slowest, verdicts = time.perf_counter() - begin, 0.0, Counter()
    for i in range(len(index)):
        begin = time.perf_counter()
        try:
            read_rgb(index.paths[i])
            good = True
        except DataError:
            good = False
        slowest = max(slowest, time.perf_counter() - begin)
        verdicts["left out" if i in index.reasons else "kept", good] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for (verdict, good), number in sorted(verdicts.items()):
        print(f"{number} {verdict} by the index, {'decodable' if good else 'not decodable'}")
    print(f"index {looked:.1f} s; slowest file {slowest:.2f} s; peak memory {peak:.0f} MiB")
    if arguments.work is None:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()

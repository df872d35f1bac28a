"""Reading of photographs: the folder beside its prepared shards, and what else reads them, interleaved.

    git worktree add ../before c73bc23
    taskset -c 0 python benchmarks/prepared.py [--against ../before]

JPEG files of 500 x 400 pixels; shards of 256 pixels of the shorter side, as JPEG and raw. All are read
by the same pipeline: random resized crops of 224 pixels, half of them mirrored, batches of 64. "by
Pillow" is the same without the extra `fast-reading`. "PyTorch" is the DataLoader of input_pipeline.py
over the pictures of the JPEG shards as files, in this process. --against reads the folder with another
checkout, in a process of its own. Speeds are images per second of processor time over all threads;
ratios are medians over turns that stand side by side.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

BATCH, STEPS = 64, 32


def rate(source):
    """Images per second of processor time."""
    from eesmm_keras.data.pipeline import pretrain_dataset

    begin = time.process_time()
    for _ in pretrain_dataset(source, 224, BATCH, STEPS):
        pass
    return BATCH * STEPS / (time.process_time() - begin)


def rate_by_pillow(source):
    from eesmm_keras.data import views

    with mock.patch.object(views, "bilinear_box", return_value=None):
        return rate(source)


def pytorch_side(shards, folder):
    """A function that gives the rate of a DataLoader over the shards' JPEG files."""
    import torch
    from input_pipeline import Photographs

    from eesmm_keras.data.shards import Shards, read_index

    index = read_index(shards)
    folder.mkdir()
    for i, picture in enumerate(Shards(shards, index["parts"]["train"], index["raw"])):
        (folder / f"{i:05}.jpg").write_bytes(picture.whole())
    torch.set_num_threads(1)
    paths = sorted(folder.iterdir())
    loader = torch.utils.data.DataLoader(
        Photographs(paths, draft=False), BATCH, shuffle=True, drop_last=True
    )

    def rated():
        images, begin = 0, time.process_time()
        while images < BATCH * STEPS:
            images += sum(len(batch) for batch in loader)
        return images / (time.process_time() - begin)

    return rated


def other_side(checkout, folder):
    """A function that gives the rate of the folder in another checkout."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--child", folder], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip

    def rated():
        process.stdin.write("\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return rated


def child(folder):
    """One turn a line of input."""
    from eesmm_keras.data.sources import open_source

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    source = open_source(folder)
    for _ in sys.stdin:
        print(rate(source), file=answers, flush=True)


def difference(folder, shards):
    """Mean absolute difference of the pixels of one batch, 0..255."""
    import numpy as np

    from eesmm_keras.data.pipeline import pretrain_dataset

    both = (next(iter(pretrain_dataset(source, 224, BATCH, 1))) for source in (folder, shards))
    first, second = (np.asarray(batch, np.float32) for batch in both)
    return float(np.abs(first - second).mean())


def measured(sides, turns):
    """`{name: rates}` of all turns but the first, which warms up."""
    rates = {name: [] for name in sides}
    for turn in range(turns + 1):
        for name, side in sides.items():
            found = side()
            if turn:
                rates[name].append(found)
    return rates


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child)
        return
    from input_pipeline import make

    from eesmm_keras.data.preparing import prepare
    from eesmm_keras.data.sources import open_source

    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        (place / "folder").mkdir()
        make(place / "folder", asked.count)
        prepare(place / "folder", place / "jpeg", size=256)
        prepare(place / "folder", place / "raw", size=256, raw=True)
        sources = {name: open_source(place / name) for name in ("folder", "jpeg", "raw")}
        sides = {"PyTorch, files of the JPEG shards": pytorch_side(place / "jpeg", place / "files")}
        for name, source in sources.items():
            sides[name] = lambda source=source: rate(source)
            sides[f"{name}, by Pillow"] = lambda source=source: rate_by_pillow(source)
        if asked.against:
            sides["folder, other checkout"] = other_side(asked.against, place / "folder")
        rates = measured(sides, asked.turns)
        print("| read | images/s a core | of the folder | of PyTorch | of the other checkout |")
        print("|---|---|---|---|---|")
        for name, values in rates.items():
            columns = []
            for base in ("folder", *list(sides)[:1], "folder, other checkout"):
                pairs = zip(values, rates.get(base, []), strict=False)
                columns.append(statistics.median([a / b for a, b in pairs] or [float("nan")]))
            cells = " | ".join(f"{column:.2f}" for column in columns)
            print(f"| {name} | {statistics.median(values):.0f} | {cells} |")
        for name, source in sources.items():
            size = sum(file.stat().st_size for file in (place / name).rglob("*") if file.is_file())
            apart = difference(sources["folder"], source)
            print(
                f"{name}: {size / asked.count / 1024:.0f} KiB an image, differs by {apart:.2f} of 255"
            )


if __name__ == "__main__":
    main()

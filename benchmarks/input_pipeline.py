"""Reading of photographs: this package's tf.data pipeline beside PyTorch's DataLoader, interleaved.

python benchmarks/input_pipeline.py

Both decode the same JPEG files of 500 x 400 pixels, take a random resized crop of 224 pixels, flip
half of them and normalise. The PyTorch side is a Dataset with Pillow and torchvision's algorithm
written out, without torchvision. Speeds are images per second of processor time over all threads
and processes of a side, so "per core"; the ratio is the median over turns that stand side by side.
"draft" is PyTorch's side with the trick that this package uses too: JPEGs are decoded at a smaller
scale where no crop can need more. Normalisation is part of the model here; a map does it for this
comparison.
"""

import argparse
import math
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from eesmm_keras.data.pipeline import pretrain_dataset
from eesmm_keras.data.sources import open_source

SIZE, BATCH, SCALE, RATIO = 224, 64, (0.2, 1.0), (3 / 4, 4 / 3)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MIN_SIDE = math.ceil(SIZE / math.sqrt(SCALE[0] * RATIO[0]))


def make(folder, count):
    """Crops of scikit-learn's photographs, enlarged to 500 x 400."""
    from sklearn.datasets import load_sample_images

    rng, pictures = np.random.default_rng(0), load_sample_images().images
    for i in range(count):
        image, scale = Image.fromarray(pictures[i % 2]), rng.uniform(0.7, 1)
        width, height = int(500 * scale), int(400 * scale)
        left, top = rng.integers(641 - width), rng.integers(428 - height)
        image = image.crop((left, top, left + width, top + height)).resize((500, 400))
        image.save(folder / f"{i:05}.jpg", quality=90)


class Photographs(torch.utils.data.Dataset):
    """The way of torchvision's tutorials, its functions written out."""

    def __init__(self, paths, draft):
        self.paths, self.draft = paths, draft

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        image = Image.open(self.paths[i])
        if self.draft:
            image.draft(None, (MIN_SIDE, MIN_SIDE))
        image = image.convert("RGB")
        box = self._box(*image.size)
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)
        if torch.rand(()) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(255)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        return pixels.sub_(mean).div_(std)

    @staticmethod
    def _box(width, height):
        low, high = (math.log(value) for value in RATIO)
        for _ in range(10):
            area = width * height * torch.empty(1).uniform_(*SCALE).item()
            ratio = math.exp(torch.empty(1).uniform_(low, high).item())
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                left = torch.randint(0, width - w + 1, ()).item()
                top = torch.randint(0, height - h + 1, ()).item()
                return left, top, left + w, top + h
        side = min(width, height)
        return 0, 0, side, side


def torch_side(paths, workers, draft):
    loader = torch.utils.data.DataLoader(
        Photographs(paths, draft), BATCH, shuffle=True, num_workers=workers, drop_last=True
    )
    return lambda: (sum(len(batch) for batch in loader), loader)[0]


def our_side(folder, count):
    import tensorflow as tf

    source, turns = open_source(folder), iter(range(10**6))
    mean, std = (255 * tf.constant(values) for values in (MEAN, STD))

    def turn():
        dataset = pretrain_dataset(source, SIZE, BATCH, count // BATCH, seed=next(turns))
        dataset = dataset.map(lambda images: (tf.cast(images, tf.float32) - mean) / std)
        return sum(len(batch) for batch in dataset.prefetch(2))

    return turn


def timed(turn):
    """Images per second of processor time, children included, and of wall time."""
    before, begin = os.times(), time.perf_counter()
    images = turn()
    wall, after = time.perf_counter() - begin, os.times()
    used = sum(after[:4]) - sum(before[:4])
    return images / used, images / wall


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="Of the DataLoader.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), arguments.images)
        paths = sorted(Path(folder).iterdir())
        # TensorFlow starts its threads only after the DataLoader has forked once.
        sides = {
            "pytorch": torch_side(paths, arguments.workers, draft=False),
            "pytorch, draft": torch_side(paths, arguments.workers, draft=True),
            "eesmm_keras": our_side(folder, arguments.images),
        }
        speeds = {name: [] for name in sides}
        for k in range(arguments.turns + 1):
            for name, turn in sides.items():
                speed = timed(turn)
                if k:  # the first round warms up
                    speeds[name].append(speed)
    ours = speeds["eesmm_keras"]
    print(
        f"| side | images/s per core | images/s, {os.cpu_count()} cores | eesmm_keras is faster by |"
    )
    print("|---|---|---|---|")
    for name, values in speeds.items():
        per_core, wall = (statistics.median(value[k] for value in values) for k in (0, 1))
        ratio = statistics.median(a[0] / b[0] for a, b in zip(ours, values, strict=True))
        print(f"| {name} | {per_core:.0f} | {wall:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()

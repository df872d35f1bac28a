"""Folders of small images with masks: squares of two colours on dark noise."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

# Number 1 in the files is ignored: classes are numbered differently in files and in the model.
CLASSES = {"names": ["ground", "border", "green", "blue"], "ignore": 1}
NUMBERS = {"ground": 0, "green": 2, "blue": 3}


def make_masks(root, count=12, part="", size=(40, 32), seed=0):
    """`root/part/images` and `root/part/masks`; images are PNG of `size`, (width, height)."""
    rng, base = np.random.default_rng(seed), Path(root, part)
    for name in ("images", "masks"):
        (base / name).mkdir(parents=True)
    width, height = size
    for i in range(count):
        image = rng.integers(0, 60, (height, width, 3), "uint8")
        mask = np.zeros((height, width), np.uint8)
        for channel, number in ((1, NUMBERS["green"]), (2, NUMBERS["blue"])):
            x, y = rng.integers(0, width - 16), rng.integers(0, height - 16)
            image[y : y + 14, x : x + 14, channel] = 220
            mask[y : y + 14, x : x + 14] = number
        mask[:2] = CLASSES["ignore"]
        Image.fromarray(image).save(base / "images" / f"{i:02d}.png")
        Image.fromarray(mask).save(base / "masks" / f"{i:02d}.png")
    Path(root, "classes.json").write_text(json.dumps(CLASSES))
    return Path(root)

"""Folders of small images with boxes: coloured rectangles on dark noise, annotated as COCO does."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

# Categories of the files: ids that are no positions.
CATEGORIES = {7: "green", 3: "blue"}


def make_boxes(root, count=12, part="", size=(40, 32), seed=0, most=2):
    """`root/part/images` and `root/part/annotations.json`; images are PNG of `size`, (width, height).

    Every fourth image has no box.
    """
    rng, base = np.random.default_rng(seed), Path(root, part)
    (base / "images").mkdir(parents=True)
    width, height = size
    content = {"images": [], "annotations": [],
               "categories": [{"id": k, "name": name} for k, name in CATEGORIES.items()]}  # fmt: skip
    for i in range(count):
        image = rng.integers(0, 60, (height, width, 3), "uint8")
        name = f"{i:02d}.png"
        content["images"].append(
            {"id": 100 + i, "file_name": name, "width": width, "height": height}
        )
        for _ in range(0 if i % 4 == 3 else rng.integers(1, most + 1)):
            wide, high = rng.integers(9, 17, 2).tolist()
            x, y = int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - high + 1))
            kind = rng.integers(0, 2)
            image[y : y + high, x : x + wide] = 10
            image[y : y + high, x : x + wide, 1 + kind] = 220
            # Numbers from 1: pycocotools takes a box of number 0 for none.
            content["annotations"].append({
                "id": len(content["annotations"]) + 1, "image_id": 100 + i, "iscrowd": 0,
                "category_id": list(CATEGORIES)[kind], "bbox": [x, y, wide, high],
                "area": wide * high,
            })  # fmt: skip
        Image.fromarray(image).save(base / "images" / name)
    (base / "annotations.json").write_text(json.dumps(content))
    return Path(root)


def changed(root, change, part=""):
    """Let a function change what annotations.json says."""
    path = Path(root, part, "annotations.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))

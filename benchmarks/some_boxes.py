"""A few classes of a set of boxes, as a folder for benchmarks/dense_tasks.py.

    python benchmarks/some_boxes.py --data SOURCE --images IMAGES --out OUT [--every 20]
        [--classes 5] [--train 300] [--test 50]

SOURCE holds instances_train.json and instances_test.json of COCO, IMAGES the files that they name.
Taken are the first annotations of every so many classes, each with its image; images with several
annotations are not for this script.
"""

import argparse
import json
import shutil
from pathlib import Path


def part_of(content, wanted, most):
    """Annotations and images of some categories, at most so many of each."""
    images = {image["id"]: image for image in content["images"]}
    left = {category["id"]: most for category in wanted}
    chosen = []
    for annotation in content["annotations"]:
        if left.get(annotation["category_id"], 0):
            left[annotation["category_id"]] -= 1
            chosen.append(annotation)
    return chosen, [images[annotation["image_id"]] for annotation in chosen]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "images", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name, default in (("every", 20), ("classes", 5), ("train", 300), ("test", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    for part, most in (("train", args.train), ("test", args.test)):
        content = json.loads((args.data / f"instances_{part}.json").read_text())
        wanted = content["categories"][:: args.every][: args.classes]
        annotations, images = part_of(content, wanted, most)
        for image in images:
            target = args.out / part / "images" / image["file_name"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(args.images / image["file_name"], target)
        made = {"images": images, "annotations": annotations, "categories": wanted}
        (args.out / part / "annotations.json").write_text(json.dumps(made))
        print(f"{part}: {len(images)} images of {len(wanted)} classes")


if __name__ == "__main__":
    main()

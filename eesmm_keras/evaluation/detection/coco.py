"""COCO's average precision, as pycocotools computes it."""

import contextlib
import importlib.util
import io

import numpy as np

from eesmm_keras.errors import UserError


def check_installed():
    """Raise a UserError where pycocotools is not there: before a training, not behind it."""
    if importlib.util.find_spec("pycocotools") is None:
        raise UserError(
            "Detection is scored by pycocotools, which is not installed: pip install "
            "'eesmm-keras[detection]'."
        )


def average_precision(classes, truths, found):
    """AP, AP50 and AP75 over all classes, and AP of each.

    Args:
        classes: number of classes.
        truths: list, for each image, of `(boxes, classes, crowd)`; boxes `(n, 4)` are left, top, right,
            bottom in pixels of the image. Boxes that are found in a crowd count nowhere.
        found: list of `(n, 6)`, see `choosing.detections`, in the same pixels.

    Returns:
        `({"AP", "AP50", "AP75"}, float64 (classes,))`, 0 to 1; NaN where there is nothing to find.

    Raises:
        UserError: pycocotools is not there.
    """
    check_installed()
    from pycocotools.cocoeval import COCOeval

    entries = [
        {**_entry(image, box, kind), "iscrowd": int(crowd)}
        for image, rows in enumerate(truths)
        for box, kind, crowd in zip(*rows, strict=True)
    ]
    said = [
        {**_entry(image, row[:4], row[5]), "iscrowd": 0, "score": float(row[4])}
        for image, rows in enumerate(found)
        for row in rows
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # it tells how long everything took
        pair = [_coco(len(truths), classes, some) for some in (entries, said)]
        evaluation = COCOeval(*pair, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    scores = [float(x) if x >= 0 else float("nan") for x in evaluation.stats[:3]]
    # By IoU threshold, recall, class, area (the first one is any) and number of boxes (the last: 100).
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    known = (precision > -1).any(axis=(0, 1))
    each = np.where(known, precision.mean(axis=(0, 1)), np.nan)
    return dict(zip(("AP", "AP50", "AP75"), scores, strict=True)), each


def _entry(image, box, kind):
    left, top, right, bottom = map(float, box)
    return {
        "image_id": image,
        "category_id": int(kind),
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
    }


def _coco(images, classes, entries):
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [{"id": k} for k in range(images)],
        "categories": [{"id": k, "name": str(k)} for k in range(classes)],
        # A box of number 0 would count as none.
        "annotations": [{**entry, "id": k} for k, entry in enumerate(entries, start=1)],
    }
    coco.createIndex()
    return coco

"""What is known of a detector on images with boxes."""

import heapq

import numpy as np

from eesmm_keras.evaluation.detection.choosing import detections, iou
from eesmm_keras.evaluation.detection.coco import average_precision
from eesmm_keras.evaluation.detection.drawing import draw_boxes
from eesmm_keras.evaluation.findings import Findings

# Boxes of this probability are shown and counted as said; with this IoU they are right.
SHOWN_SCORE, _RIGHT = 0.3, 0.5
# Images whose boxes are kept for a picture; classes that the screen names.
_KEPT, _NAMED = 16, 3


class DetectionFindings(Findings):
    """See `Findings`. Boxes count in the size of the images.

    Args:
        class_names: tuple of str. scores, each: see `coco.average_precision`.
        images: number of images. boxes: int `(classes,)`, boxes of each class, without crowds.
        worst: list of `(missed, false, position, truth, said)`, the worst image first; the last two are
            `(boxes, classes)`, boxes as shares of the image.
    """

    def __init__(self, class_names, scores, each, images, boxes, worst=()):
        super().__init__(scores)
        self.class_names, self.each, self.images = class_names, each, images
        self.boxes, self.worst = boxes, list(worst)

    @classmethod
    def of(cls, class_names, batches):
        """From `(outputs, truths)` of batch after batch.

        Outputs are `{"boxes": (B, places, 4), "scores": (B, places, classes)}`, boxes as shares of the
        images' sides; truths are lists with `size`, `boxes`, `classes` and `crowd`, see
        `data.boxes.Truth`.
        """
        truths, found, kept = [], [], []
        for outputs, some in batches:
            for boxes, scores, truth in zip(outputs["boxes"], outputs["scores"], some, strict=True):
                said = detections(boxes, scores)
                missed, false = _mistakes(truth, said)
                if missed + false:
                    shares = truth.boxes / np.array(truth.size * 2), truth.classes
                    said_here = said[said[:, 4] >= SHOWN_SCORE]
                    entry = (missed + false, -len(truths), missed, shares, said_here)
                    heapq.heappush(kept, entry)
                    if len(kept) > _KEPT:
                        heapq.heappop(kept)
                truths.append((truth.boxes, truth.classes, truth.crowd))
                found.append(said * np.array([*truth.size * 2, 1, 1], np.float32))
        counts = [kinds[~crowd] for _, kinds, crowd in truths] or [np.zeros(0, int)]
        counts = np.bincount(np.concatenate(counts), minlength=len(class_names))
        worst = [
            (missed, total - missed, -place, truth, (said[:, :4], said[:, 5]))
            for total, place, missed, truth, said in sorted(kept, key=lambda e: e[:2])[::-1]
        ]
        scores, each = average_precision(len(class_names), truths, found)
        return cls(class_names, scores, each, len(truths), counts, worst)

    def lines(self):
        known = np.flatnonzero(~np.isnan(self.each))
        lowest = known[np.argsort(self.each[known], kind="stable")][:_NAMED]
        named = ", ".join(f"{self.class_names[k]} {self.each[k]:.2f}" for k in lowest)
        lines = [f"Lowest AP: {named}"]
        absent = [n for n, ap in zip(self.class_names, self.each, strict=True) if np.isnan(ap)]
        if absent:
            lines.append(f"Not there, and left out of the mean: {', '.join(absent)}")
        return lines

    def numbers(self):
        return {
            **super().numbers(),
            "images": self.images,
            "boxes": int(self.boxes.sum()),
            "classes": [
                {"name": name, "ap": None if np.isnan(ap) else float(ap), "boxes": int(count)}
                for name, ap, count in zip(self.class_names, self.each, self.boxes, strict=True)
            ],
        }

    def tables(self):
        rows = [
            (one["name"], "" if one["ap"] is None else one["ap"], one["boxes"])
            for one in self.numbers()["classes"]
        ]
        return {"classes.csv": [("class", "ap", "boxes"), *rows]}

    def mistakes(self, count):
        """Images with the most boxes that are missed, or said and not there."""
        return [
            (position, f"{missed} missed, {false} false", "")
            for missed, false, position, _, _ in self.worst[:count]
        ]

    def pictures_of(self, place, image):
        """Truth and prediction over the image."""
        *_, truth, said = self.worst[place]
        return [
            (draw_boxes(image, *boxes, self.class_names), line)
            for boxes, line in ((truth, "truth"), (said, "said"))
        ]


def _mistakes(truth, said):
    """`(missed, false)`: boxes that nothing is said of; and what is said of nothing that is there."""
    boxes = truth.boxes / np.array(truth.size * 2)
    said = said[said[:, 4] >= SHOWN_SCORE]
    right = (iou(said[:, :4], boxes) >= _RIGHT) & (said[:, 5:] == truth.classes)
    free, false = ~truth.crowd, 0
    for row in right:
        hits = np.flatnonzero(row & free)
        if len(hits):
            free[hits[0]] = False
        elif not (row & truth.crowd).any():
            false += 1
    return int(free.sum()), false

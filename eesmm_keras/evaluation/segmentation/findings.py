"""What is known of a segmenter on images with masks."""

import heapq

import numpy as np

from eesmm_keras.evaluation.findings import Findings
from eesmm_keras.evaluation.segmentation.colours import overlay
from eesmm_keras.evaluation.segmentation.measures import (
    confusions,
    in_size,
    intersection_over_union,
    masks_of,
    pixel_accuracy,
)

# Images whose masks are kept for a picture; classes that the screen names.
_KEPT, _NAMED = 16, 3


class SegmentationFindings(Findings):
    """See `Findings`. Pixels count in the size of the mask files, ignored ones left out.

    Args:
        class_names: tuple of str.
        counts: int `(classes, classes)`, pixels of each class (rows) by what was said of them.
        images: number of images.
        worst: list of `(pixel accuracy, position, truth, said)`, the worst image first; masks are
            uint8 `(H, W)`.
    """

    def __init__(self, class_names, counts, images, worst=()):
        self.class_names, self.counts, self.images = class_names, counts, images
        self.worst = list(worst)
        self.iou = intersection_over_union(counts)
        there = self.iou[~np.isnan(self.iou)]
        mean = float(there.mean()) if len(there) else float("nan")
        super().__init__({"mIoU": mean, "pixel accuracy": pixel_accuracy(counts)})

    @classmethod
    def of(cls, class_names, batches):
        """From `(logits, masks)` of batch after batch, which are not kept.

        Logits are `(B, H, W, classes)`; masks are lists of uint8 `(h, w)` of any size.
        """
        classes = len(class_names)
        total, kept, position = np.zeros((classes, classes), np.int64), [], 0
        for logits, truths in batches:
            for said, truth in zip(masks_of(logits), truths, strict=True):
                said = in_size(said, truth.shape[::-1])
                counts = confusions(truth, said, classes)
                total += counts
                if counts.any():
                    entry = (-pixel_accuracy(counts), -position, truth, said)
                    heapq.heappush(kept, entry)
                    if len(kept) > _KEPT:
                        heapq.heappop(kept)
                position += 1
        worst = [(-accuracy, -place, *masks) for accuracy, place, *masks in sorted(kept)[::-1]]
        return cls(class_names, total, position, worst)

    def lines(self):
        known = np.flatnonzero(~np.isnan(self.iou))
        lowest = known[np.argsort(self.iou[known], kind="stable")][:_NAMED]
        lines = [
            f"Lowest IoU: {', '.join(f'{self.class_names[k]} {self.iou[k]:.2f}' for k in lowest)}"
        ]
        absent = [n for n, iou in zip(self.class_names, self.iou, strict=True) if np.isnan(iou)]
        if absent:
            lines.append(f"Neither there nor said, and left out of the mean: {', '.join(absent)}")
        return lines

    def numbers(self):
        return {
            **super().numbers(),
            "images": self.images,
            "pixels": int(self.counts.sum()),
            "classes": [
                {
                    "name": name,
                    "iou": None if np.isnan(iou) else float(iou),
                    "pixels": int(self.counts[k].sum()),
                    "pixels_said": int(self.counts[:, k].sum()),
                }
                for k, (name, iou) in enumerate(zip(self.class_names, self.iou, strict=True))
            ],
            "confusion": self.counts.tolist(),
        }

    def tables(self):
        rows = [
            (
                one["name"],
                "" if one["iou"] is None else one["iou"],
                one["pixels"],
                one["pixels_said"],
            )
            for one in self.numbers()["classes"]
        ]
        table = zip(self.class_names, self.counts.tolist(), strict=True)
        return {
            "classes.csv": [("class", "iou", "pixels", "pixels_said"), *rows],
            "confusion.csv": [
                ("true \\ said", *self.class_names), *((name, *row) for name, row in table),
            ],
        }  # fmt: skip

    def figures(self):
        from eesmm_keras.evaluation.classification import figures

        return {
            "confusion.png": lambda file: figures.confusion(file, self.counts, self.class_names)
        }

    def mistakes(self, count):
        """Images of the lowest pixel accuracy."""
        return [
            (position, f"accuracy {accuracy:.2f}", "")
            for accuracy, position, _, _ in self.worst[:count]
        ]

    def pictures_of(self, place, image):
        """Truth and prediction over the image."""
        _, _, truth, said = self.worst[place]
        classes = len(self.class_names)
        shown = np.where(truth < classes, said, 255).astype(np.uint8)
        return [
            (overlay(image, truth, classes), "truth"), (overlay(image, shown, classes), "said"),
        ]  # fmt: skip

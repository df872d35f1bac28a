"""The few boxes that stand for all that a detector says of an image."""

import numpy as np

# Candidates that are looked at, the most probable ones.
_CANDIDATES = 1000


def detections(boxes, scores, min_score=0.01, overlap=0.5, most=100):
    """Non-maximum suppression, class by class: of boxes that overlap the most probable one stays.

    Args:
        boxes: `(places, 4)`: left, top, right, bottom, in any unit. scores: `(places, classes)`.
        min_score: what is less probable is left out.
        overlap: intersection over union with a more probable box of its class above which a box goes.
        most: boxes that stay.

    Returns:
        float32 `(n, 6)`, the most probable first: left, top, right, bottom, score, class number.
    """
    places, classes = np.nonzero(scores >= min_score)
    values = scores[places, classes]
    order = np.argsort(-values, kind="stable")[:_CANDIDATES]
    boxes, values, classes = boxes[places[order]], values[order], classes[order]
    left, kept = np.ones(len(order), bool), []
    for k in range(len(order)):
        if left[k]:
            kept.append(k)
            if len(kept) == most:
                break
            rivals = left & (classes == classes[k])
            left[rivals] = iou(boxes[k : k + 1], boxes[rivals])[0] <= overlap
    table = np.concatenate([boxes, values[:, None], classes[:, None]], axis=1)
    return table[kept].astype(np.float32)


def iou(first, second):
    """Intersection over union of all pairs: `(n, 4)`, `(m, 4)` -> `(n, m)`."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1) for boxes in (first, second)]
    either = areas[0][:, None] + areas[1] - both
    return both / np.maximum(either, 1e-12)

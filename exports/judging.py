"""Proof that an export of a lower precision is good enough.

The export is written in float32 first, and that one is held to the limit of every export. The smaller
one need not equal it to the last digits: it is judged by what it answers on images that it was not
calibrated on.
"""

import numpy as np

from eesmm_keras.exports.destination import size_on_disk
from eesmm_keras.exports.errors import ExportError
from eesmm_keras.exports.verify import compare, latency_ratio, run_export

# Largest difference of a float16 export from Keras, over the output's largest magnitude or one.
FLOAT16_TOLERANCE = 2e-2
# Without labels: percent of the images whose first class is another one; and what the mean cosine of
# an output lacks to one.
MAX_OTHER_ANSWERS, MAX_COSINE_LOSS = 5.0, 0.01
_BATCH = 16


def prove(kind, paths, reduction, task, fed, expected, feed):
    """Hold an export of a lower precision against Keras and against the float32 export.

    Args:
        kind: `Format`. paths: `(export, its float32 twin)`. reduction: `Reduction`.
        task: `Task` of which the outputs are, or None: they are features.
        fed, expected: test batches as the graph takes them, and what Keras says of them.
        feed: function from uint8 pixels to what the graph takes.

    Returns:
        `(differences, limits, facts)`: the first two as of `compare`; facts: dict of JSON types.

    Raises:
        ExportError: outputs that are not finite, or not good enough.
    """
    images = () if reduction.images is None else reduction.images
    batches = {
        f"judged_{start:06d}": feed(images[start : start + _BATCH])
        for start in range(0, len(images), _BATCH)
    }
    found = run_export(kind, paths[0], {**fed, **batches})
    tolerance = FLOAT16_TOLERANCE if reduction.precision == "float16" else None
    differences, limits = compare(expected, found, tolerance, scaled=True)
    facts = {
        "precision": reduction.precision,
        "size_bytes": size_on_disk(paths[0]),
        "size_bytes_float32": size_on_disk(paths[1]),
        "latency_ratio": latency_ratio(kind, *paths, next(iter(fed.values()))),
    }
    if reduction.calibration is not None:
        facts["calibration_images"] = len(reduction.calibration)
    if batches:
        after = _joined(found, batches)
        before = _joined(run_export(kind, paths[1], batches), batches)
        facts["checks"] = judged(task, before, after, reduction)
    return differences, limits, facts


def _joined(results, batches):
    """{batch: {output: array}} -> {output: array of all images of these batches}."""
    parts = [results[batch] for batch in batches]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def judged(task, before, after, reduction):
    """What outputs of a lower precision lose, by the task's score or by cosines.

    Args:
        task: see `prove`. before, after: {output: array} in float32, and in the lower precision.
        reduction: `Reduction`, whose labels count if there are any.

    Returns:
        {what was measured: {"value", "float32", "limit" (what it may be less), "images"}}.

    Raises:
        ExportError: it is too much.
    """
    checks = task and _points(task, before, after, reduction)
    checks = checks or {f"cosine of {name}": _cosine(before[name], after[name]) for name in before}
    bad = [
        f"{name} {found['value']:.4g} (float32: {found['float32']:.4g}, allowed: "
        f"{found['limit']:g} less)"
        for name, found in checks.items()
        # Written so that a NaN fails.
        if not found["float32"] - found["value"] <= found["limit"]
    ]
    count = len(reduction.images)
    if bad:
        raise ExportError(
            f"The {reduction.precision} export is too far from float32 on {count} images: "
            f"{'; '.join(bad)}. Nothing was kept. Other or more images for calibration may help; "
            "--max-drop allows more where there are labels."
        )
    return {name: {**found, "images": count} for name, found in checks.items()}


def _points(task, before, after, reduction):
    """The check by the task's own score; None where it has none."""
    name, labels, limit = None, reduction.labels, reduction.max_drop
    if labels is None:
        name, labels, limit = "answers as in float32", task.answers(before), MAX_OTHER_ANSWERS
    if labels is None or (scored := task.points(after, labels)) is None:
        return None
    return {
        name or scored[0]: {
            "value": scored[1],
            "float32": task.points(before, labels)[1],
            "limit": limit,
        }
    }


def _cosine(before, after):
    """Mean over the images of the cosine between two outputs."""
    a, b = (x.reshape(len(x), -1).astype("float64") for x in (before, after))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = float(np.mean((a * b).sum(1) / np.maximum(norms, 1e-30)))
    return {"value": cosine, "float32": 1.0, "limit": MAX_COSINE_LOSS}

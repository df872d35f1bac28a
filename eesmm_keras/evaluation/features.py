"""Pooled features of many images."""

import keras
import numpy as np

from eesmm_keras.errors import UserError


def extract_features(backbone, images, batch_size=64):
    """One feature vector per image, on any Keras backend.

    Args:
        backbone: a backbone of this package; its `feature_extractor()` gives the `pooled` output.
        images: pixels 0..255 as an array `(N, H, W, 3)`, or an iterable of batches: arrays, or
            tuples whose first item is the array (labels are ignored), such as a tf.data pipeline.
            An iterable must end, and keep its order if labels are to be matched.
        batch_size: images per step, for an array; an iterable is taken as batched.

    Returns:
        float32 `(N, C)` NumPy array.

    Raises:
        ValueError: an array that is not `(N, H, W, 3)`, or no images at all.
    """
    if hasattr(images, "ndim"):
        if images.ndim != 4 or images.shape[-1] != backbone.image_shape[-1]:
            channels = backbone.image_shape[-1]
            raise ValueError(
                f"Expected images (N, H, W, {channels}), received shape {tuple(images.shape)}"
            )
        batches = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
    else:
        batches = (item[0] if isinstance(item, list | tuple) else item for item in images)
    pooled = pooled_features(backbone)
    features = [pooled(batch) for batch in batches]
    if not features:
        raise ValueError("Expected at least one image, received none.")
    return np.concatenate(features)


def pooled_features(backbone):
    """Function of a batch of images `(B, H, W, C)`, pixels 0..255, that gives their feature vectors: a
    float32 `(B, D)` NumPy array."""
    extractor = backbone.feature_extractor()

    def ask(images):
        # NumPy on both sides: tf.data tensors mean nothing to JAX, bfloat16 nothing to the caller.
        outputs = extractor.predict_on_batch(keras.ops.convert_to_numpy(images))
        return keras.ops.convert_to_numpy(outputs["pooled"]).astype("float32")

    return ask


def check_features(train_x, train_y, test_x, test_y):
    """The four as arrays: features `(N, C)` float32 and labels `(N,)`.

    Raises:
        UserError: an empty set, features that are not finite, or shapes that do not match.
    """
    train_x, test_x = np.asarray(train_x, "float32"), np.asarray(test_x, "float32")
    train_y, test_y = np.asarray(train_y), np.asarray(test_y)
    for name, x, y in (("train", train_x, train_y), ("test", test_x, test_y)):
        if x.ndim != 2 or y.shape != x.shape[:1] or not len(x):
            raise UserError(
                f"Expected {name} features (N, C) with labels (N,), N > 0, "
                f"received shapes {x.shape} and {y.shape}"
            )
        bad = int((~np.isfinite(x).all(axis=1)).sum())
        if bad:
            raise UserError(
                f"The features of {bad} of {len(x)} {name} images are not finite: the encoder's "
                "weights hold NaN or infinity. Take those of a run that did not diverge."
            )
    if train_x.shape[1] != test_x.shape[1]:
        raise UserError(
            f"Expected the same feature size, received {train_x.shape[1]} in training "
            f"and {test_x.shape[1]} in test"
        )
    return train_x, train_y, test_x, test_y


def stage_means(outputs):
    """Means over the positions of the levels of a feature pyramid, in their order.

    Args:
        outputs: dict of arrays; those of `(B, rows, cols, C)` named "P2", "P3", ... are levels.

    Returns:
        `{level: (B, C)}`.
    """
    levels = [name for name in outputs if name[:1] == "P" and name[1:].isdigit()]
    return {
        level: outputs[level].mean(axis=(1, 2))
        for level in sorted(levels, key=lambda name: int(name[1:]))
    }

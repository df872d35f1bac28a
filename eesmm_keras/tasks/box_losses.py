"""Loss and metrics of boxes: what `box_targets.assign` gives against `(B, places, 4 + classes)`.

Predictions are boxes (left, top, right, bottom in pixels) and logits of the classes.
"""

import keras
from keras import ops

from eesmm_keras.ops.box_marks import CROWD


@keras.saving.register_keras_serializable(package="eesmm_keras")
class BoxLoss(keras.losses.Loss):
    """Focal loss of the classes at all places, and CIoU loss of the boxes that places answer for.

    Both in float32. An image's loss is the sum over its places divided by the number of those that
    answer for a box, at least 1: it depends on the image alone, not on its batch or the devices.

    Args:
        box_weight: of the boxes' part.
    """

    def __init__(self, box_weight=1.0, name="box_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.box_weight = box_weight

    def call(self, y_true, y_pred):
        numbers, positive, truth, boxes, logits = _split(y_true, y_pred)
        classes = logits.shape[-1]
        wanted = ops.one_hot(numbers, classes, dtype="float32") * positive[..., None]
        focal = classes * keras.losses.binary_focal_crossentropy(
            wanted, logits, apply_class_balancing=True, from_logits=True
        )
        counted = ops.cast(y_true[..., 0] != CROWD, "float32")
        apart = 1 - keras.utils.bounding_boxes.compute_ciou(truth, boxes, "xyxy")
        errors = ops.sum(focal * counted + self.box_weight * apart * positive, axis=1)
        return errors / ops.maximum(ops.sum(positive, axis=1), 1.0)

    def get_config(self):
        return {**super().get_config(), "box_weight": self.box_weight}


class _PositiveMean(keras.metrics.Mean):
    """Mean over the places that answer for a box, each weighted as its image."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        numbers, positive, truth, boxes, logits = _split(y_true, y_pred)
        if sample_weight is not None:
            positive = positive * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        return super().update_state(self.values(numbers, truth, boxes, logits), positive)


@keras.saving.register_keras_serializable(package="eesmm_keras")
class BoxIoU(_PositiveMean):
    """Intersection over union of the predicted boxes and those that their places answer for."""

    def __init__(self, name="box_iou", **kwargs):
        super().__init__(name=name, **kwargs)

    @staticmethod
    def values(numbers, truth, boxes, logits):
        low = ops.maximum(truth[..., :2], boxes[..., :2])
        high = ops.minimum(truth[..., 2:], boxes[..., 2:])
        both = _area(low, ops.maximum(low, high))
        either = _area(truth[..., :2], truth[..., 2:]) + _area(boxes[..., :2], boxes[..., 2:])
        return both / ops.maximum(either - both, 1e-6)


@keras.saving.register_keras_serializable(package="eesmm_keras")
class BoxClassAccuracy(_PositiveMean):
    """Share of the places that answer for a box whose most probable class is that of the box."""

    def __init__(self, name="box_class_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    @staticmethod
    def values(numbers, truth, boxes, logits):
        return ops.cast(ops.argmax(logits, axis=-1) == numbers, "float32")


def _split(y_true, y_pred):
    """`(numbers, positive, truth, boxes, logits)`: int32 class numbers, 0 where there is none; float32,
    1 where there is one; boxes, the same two of a pixel where there is none; logits."""
    y_pred = ops.cast(y_pred, "float32")
    there = y_true[..., :1] >= 0
    numbers = ops.cast(ops.where(there, y_true[..., :1], 0.0)[..., 0], "int32")
    pixel = ops.convert_to_tensor([0.0, 0.0, 1.0, 1.0], "float32")
    truth, boxes = (ops.where(there, x, pixel) for x in (y_true[..., 1:], y_pred[..., :4]))
    return numbers, ops.cast(there[..., 0], "float32"), truth, boxes, y_pred[..., 4:]


def _area(low, high):
    return (high[..., 0] - low[..., 0]) * (high[..., 1] - low[..., 1])

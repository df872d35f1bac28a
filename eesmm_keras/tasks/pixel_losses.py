"""Loss and metrics of masks: `(B, H, W)` class numbers against logits `(B, H, W, K)`.

A number that is no class marks a pixel that counts nowhere.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="eesmm_keras")
class PixelCrossentropy(keras.losses.Loss):
    """Cross-entropy of every pixel, float32; ignored pixels have weight 0.

    An image's loss is the sum over its pixels divided by *all* its pixels, ignored ones too: every
    pixel that counts weighs the same in whatever batch, and on however many devices, it is.

    Args:
        label_smoothing: share of a label that goes to all classes.
    """

    def __init__(self, label_smoothing=0.0, name="pixel_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        classes = y_pred.shape[-1]
        logits, (labels, counted) = ops.cast(y_pred, "float32"), _split(y_true, classes)
        scores = ops.log_softmax(logits, axis=-1)
        wanted = ops.one_hot(labels, classes, dtype="float32")
        smooth = self.label_smoothing
        errors = -ops.sum(scores * (wanted * (1 - smooth) + smooth / classes), axis=-1)
        return ops.mean(errors * counted, axis=(1, 2))

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable(package="eesmm_keras")
class PixelAccuracy(keras.metrics.Mean):
    """Share of the counted pixels whose most probable class is right."""

    def __init__(self, name="pixel_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels, counted = _split(y_true, y_pred.shape[-1])
        right = ops.cast(ops.argmax(y_pred, axis=-1) == labels, "float32")
        return super().update_state(right, _weighted(counted, sample_weight))


@keras.saving.register_keras_serializable(package="eesmm_keras")
class MeanIoU(keras.metrics.Metric):
    """Mean over the classes of intersection over union, of all pixels since the last reset.

    Classes that are neither there nor said are left out.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes, name="mean_iou", **kwargs):
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.counts = self.add_variable((classes, classes), "zeros", name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels, counted = _split(y_true, self.classes)
        weights = ops.reshape(_weighted(counted, sample_weight), (-1, 1))
        said = ops.argmax(y_pred, axis=-1)
        there, said = (
            ops.one_hot(ops.reshape(x, (-1,)), self.classes, dtype="float32")
            for x in (labels, said)
        )
        self.counts.assign_add(ops.matmul(ops.transpose(there * weights), said))

    def result(self):
        both = ops.diagonal(self.counts)
        either = ops.sum(self.counts, axis=0) + ops.sum(self.counts, axis=1) - both
        known = ops.cast(either > 0, "float32")
        shares = both / ops.where(either > 0, either, 1.0)
        return ops.sum(shares * known) / ops.maximum(ops.sum(known), 1.0)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


def _split(y_true, classes):
    """`(labels, counted)`: int32 with 0 for ignored pixels; float32, 0 there and 1 elsewhere."""
    numbers = ops.cast(y_true, "int32")
    known = numbers < classes
    return ops.where(known, numbers, 0), ops.cast(known, "float32")


def _weighted(counted, sample_weight):
    if sample_weight is None:
        return counted
    return counted * ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1, 1))

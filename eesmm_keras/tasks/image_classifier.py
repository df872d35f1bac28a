from typing import ClassVar

import keras
import numpy as np
from keras import ops

from eesmm_keras.checks import check_choice
from eesmm_keras.errors import UserError
from eesmm_keras.layers.dropout import Dropout
from eesmm_keras.tasks.task import Task


@keras.saving.register_keras_serializable(package="eesmm_keras")
class ImageClassifier(Task):
    """Encoder, pooling and a linear head: what one fine-tunes, evaluates and exports.

    Args:
        backbone: encoder that gives a feature map `(B, h, w, C)`, for example `SwinBackbone`.
        num_classes: number of logits, at least 2.
        class_names: optional names, one per class; they travel with the file and its exports.
        dropout: rate before the head.
        pooling: what the head sees: "mean", the mean of the feature map; or "token", the class token,
            of an encoder that has one.

    Call: images `(B, H, W, 3)`, pixel values 0..255 (uint8 or float) -> logits
    `(B, num_classes)` in float32; `keras.ops.softmax` makes probabilities of them.

    Raises:
        ValueError: fewer than two classes, not as many names as classes, or an unknown `pooling` or
            one that the encoder does not have.

    Examples:
        >>> import keras
        >>> from eesmm_keras import ImageClassifier, SwinBackbone
        >>> backbone = SwinBackbone.from_preset("swin_mini_32")
        >>> model = ImageClassifier(backbone, num_classes=10)
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> model.compile("adamw", loss, metrics=["accuracy"])
        >>> model.fit(images, labels)
    """

    output_descriptions: ClassVar = {
        "logits": "class scores before softmax, in the order of class_names"
    }

    def __init__(
        self, backbone, num_classes, class_names=None, dropout=0.0, pooling="mean", **kwargs
    ):
        super().__init__(backbone, class_names, **kwargs)
        if num_classes < 2:
            raise ValueError(f"A classifier needs at least 2 classes, got {num_classes}.")
        if class_names is not None and len(class_names) != num_classes:
            raise ValueError(
                f"class_names needs {num_classes} names, one per class, got {len(class_names)}."
            )
        check_choice("pooling", pooling, ("mean", "token"))
        if pooling == "token" and not backbone.num_prefix_tokens:
            raise ValueError(
                'pooling="token" needs an encoder with a class token; this one has none.'
            )
        self.num_classes, self.dropout, self.pooling = num_classes, dropout, pooling
        self.drop = Dropout(dropout, name="dropout")
        # Logits in float32 under every policy: the loss needs it.
        self.head = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype="float32",
            name="head",
        )
        self.head.build((None, backbone.num_features))
        self.built = True

    def call(self, images, training=False):
        pooled = self._pool(images, training)
        return self.head(self.drop(pooled, training=training))

    def _pool(self, images, training):
        """`(B, C)` in float32."""
        if self.pooling == "mean":
            features = self.backbone(images, training=training)
            return ops.mean(ops.cast(features, "float32"), axis=(1, 2))
        # Of all tokens, the class token comes first.
        rows, cols = self.backbone.grid
        units, everything = self.backbone.units_of(images), np.arange(rows * cols, dtype="int32")
        plan = self.backbone.planner([everything]).plan(everything)
        tokens = self.backbone.encode_visible(units, plan, training=training)
        return ops.cast(tokens[:, 0], "float32")

    def fit(self, x=None, y=None, *args, **kwargs):
        """`keras.Model.fit`; labels of NumPy are looked at first.

        Raises:
            UserError: images without labels, or class numbers that this model does not have.
        """
        if hasattr(x, "shape") and y is None:
            raise UserError("A classifier learns from labels: fit(images, labels).")
        if isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "iu" and y.size:
            low, high = y.min(), y.max()
            if low < 0 or high >= self.num_classes:
                raise UserError(
                    f"fit takes class numbers from 0 to {self.num_classes - 1}, got {low} to {high}."
                )
        return super().fit(x, y, *args, **kwargs)

    @classmethod
    def for_source(cls, backbone, source):
        return cls(backbone, len(source.class_names), source.class_names)

    def targets(self, labels):
        import tensorflow as tf

        return tf.one_hot(labels, self.num_classes)

    def compile_for(self, settings, optimizer):
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=settings.label_smoothing
        )
        self.compile(
            optimizer, loss, weighted_metrics=[keras.metrics.CategoricalAccuracy("accuracy")]
        )

    def score(self, batches):
        """Top-1 accuracy, 0 to 1."""
        right = seen = 0
        for logits, labels in batches:
            right += int((logits.argmax(-1) == labels).sum())
            seen += len(labels)
        return {"accuracy": right / seen}

    def findings(self, batches):
        """Per class, in confusions, by confidence: see `ClassifierFindings`."""
        from eesmm_keras.evaluation.classification.findings import ClassifierFindings

        names = self.class_names or tuple(map(str, range(self.num_classes)))
        return ClassifierFindings.of(names, batches)

    def points(self, outputs, labels):
        """Top-1 accuracy in percent."""
        return "accuracy", 100 * float((self.answers(outputs) == labels).mean())

    def answers(self, outputs):
        return outputs["logits"].argmax(-1)

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "dropout": self.dropout,
            "pooling": self.pooling,
        }

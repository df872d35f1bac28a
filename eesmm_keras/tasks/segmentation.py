from typing import ClassVar

import keras
import numpy as np

from eesmm_keras.checks import MAX_WIDTH, check_whole
from eesmm_keras.errors import UserError
from eesmm_keras.layers.dropout import Dropout
from eesmm_keras.layers.pyramid_head import PyramidHead
from eesmm_keras.ops.interpolation import resize_linear
from eesmm_keras.tasks.pixel_losses import MeanIoU, PixelAccuracy, PixelCrossentropy
from eesmm_keras.tasks.task import Task


@keras.saving.register_keras_serializable(package="eesmm_keras")
class Segmenter(Task):
    """Encoder, UPerNet's head on its feature pyramid, and a class for every pixel.

    Args:
        backbone: encoder with `pyramid_outputs`; an encoder of one scale, such as a ViT, gives one map.
        class_names: names of the classes, at least 2; pixels that are ignored have none.
        class_numbers: what stands for each class in files of masks; None: its place in the names.
        head_dim: width of the head's maps; None: half of the encoder's, at most 256.
        dropout: rate before the last layer.

    Call: images `(B, H, W, C)`, pixel values 0..255 (uint8 or float) -> logits `(B, H, W, classes)`
    in float32, bilinear from the finest map of the pyramid.

    Raises:
        ValueError: fewer than two classes, or numbers that are not as many.
    """

    label_kind = "masks"
    whole_images = True
    defaults: ClassVar = {"label_smoothing": 0.0, "crop_scale": (0.25, 1.0)}
    output_descriptions: ClassVar = {
        "logits": "class scores of every pixel before softmax, in the order of class_names"
    }

    def __init__(
        self, backbone, class_names, class_numbers=None, head_dim=None, dropout=0.1, **kwargs
    ):
        super().__init__(backbone, class_names, **kwargs)
        count = len(self.class_names)
        self.class_numbers = list(range(count) if class_numbers is None else class_numbers)
        if count < 2 or len(self.class_numbers) != count:
            raise ValueError(
                f"A segmenter needs at least 2 classes and a number for each, got {count} classes and "
                f"{len(self.class_numbers)} numbers."
            )
        if head_dim is None:
            head_dim = max(1, min(256, backbone.num_features // 2))
        self.head_dim = check_whole("head_dim", head_dim, 1, MAX_WIDTH)
        self.dropout = dropout
        pyramid = backbone.pyramid_outputs
        maps = [pyramid[name] for name in sorted(pyramid, key=lambda name: int(name[1:]))]
        # Held by a function: the encoder's layers are this model's through `backbone` alone.
        network = keras.Model(backbone.input, maps)
        self.pyramid_of = lambda images, training: network(images, training=training)
        self.head = PyramidHead(dim=self.head_dim, name="pyramid_head")
        self.head.build([tuple(x.shape) for x in maps])
        self.drop = Dropout(dropout, name="dropout")
        # Logits in float32 under every policy: the loss needs it.
        self.classifier = keras.layers.Dense(
            count,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype="float32",
            name="classifier",
        )
        self.classifier.build((None, *maps[0].shape[1:3], self.head_dim))
        self.built = True

    def call(self, images, training=False):
        maps = self.pyramid_of(images, training)
        maps = maps if isinstance(maps, list | tuple) else [maps]
        features = self.drop(self.head(maps, training=training), training=training)
        return resize_linear(self.classifier(features), *self.backbone.image_shape[:2])

    @classmethod
    def for_source(cls, backbone, source):
        return cls(backbone, source.class_names, source.annotations.numbers)

    @classmethod
    def check_settings(cls, settings):
        for name in ("mixup_alpha", "cutmix_alpha", "rand_augment_magnitude", "labels_per_class"):
            if getattr(settings, name):
                raise UserError(
                    f"Setting {name} means nothing to segmentation, whose labels are masks and not one "
                    "class an image: leave it out. (Crops, flips, erasing, label_share and "
                    "label_smoothing work.)"
                )

    def blank_labels(self):
        return np.zeros((1, *self.backbone.image_shape[:2]), "uint8")

    def targets(self, labels):
        import tensorflow as tf

        return tf.cast(labels, tf.int32)

    def compile_for(self, settings, optimizer):
        metrics = [PixelAccuracy(), MeanIoU(len(self.class_names))]
        loss = PixelCrossentropy(label_smoothing=settings.label_smoothing)
        self.compile(optimizer, loss, weighted_metrics=metrics)

    def score(self, batches):
        """Mean IoU and pixel accuracy, 0 to 1, in the size of the masks."""
        return self.findings(batches).scores

    def findings(self, batches):
        """By class, in confusions, with the worst images: see `SegmentationFindings`."""
        from eesmm_keras.evaluation.segmentation.findings import SegmentationFindings

        return SegmentationFindings.of(self.class_names, batches)

    def points(self, outputs, labels):
        """Pixels that are right, in percent."""
        said = self.answers(outputs)
        counted = labels < len(self.class_names)
        return "pixel accuracy", 100 * float((said == labels)[counted].mean())

    def answers(self, outputs):
        return outputs["logits"].argmax(-1)

    def facts(self):
        return {"task": "segmentation", "class_numbers": self.class_numbers}

    def get_config(self):
        return {
            **super().get_config(),
            "class_numbers": self.class_numbers,
            "head_dim": self.head_dim,
            "dropout": self.dropout,
        }

from typing import ClassVar

import keras
import numpy as np
from keras import ops

from eesmm_keras.checks import MAX_WIDTH, check_whole
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.detection.coco import check_installed
from eesmm_keras.layers.detection_head import DetectionHead
from eesmm_keras.ops.box_grid import BoxGrid
from eesmm_keras.tasks.box_losses import BoxClassAccuracy, BoxIoU, BoxLoss
from eesmm_keras.tasks.box_targets import assign
from eesmm_keras.tasks.task import Task


@keras.saving.register_keras_serializable(package="eesmm_keras")
class Detector(Task):
    """Encoder, and RetinaNet's head on its feature pyramid: boxes around objects, with their classes.

    Args:
        backbone: encoder with `pyramid_outputs`; an encoder of one scale, such as a ViT, gives one map.
        class_names: names of the classes, at least 1.
        head_dim: width of the head's maps; None: half of the encoder's, at most 256.
        levels: how many maps of the pyramid are looked at, the coarsest ones.

    Call: images `(B, H, W, C)`, pixel values 0..255 (uint8 or float) -> float32 `(B, places, 4 +
    classes)`: for every place of the pyramid a box (left, top, right, bottom in pixels of the model's
    images) and logits of its classes. `named` makes shares of the image and probabilities of them, and
    `evaluation.detection.choosing.detections` chooses among these.

    Raises:
        ValueError: no classes, or arguments out of their range.
    """

    label_kind = "boxes"
    whole_images = True
    defaults: ClassVar = {"label_smoothing": 0.0, "crop_scale": (0.3, 1.0)}
    output_descriptions: ClassVar = {
        "boxes": "left, top, right, bottom of many boxes, as shares of the image's width and height",
        "scores": "probability of each class for every box, in the order of class_names",
    }

    def __init__(self, backbone, class_names, head_dim=None, levels=3, **kwargs):
        super().__init__(backbone, class_names, **kwargs)
        if not self.class_names:
            raise ValueError("A detector needs at least 1 class, got none.")
        if head_dim is None:
            head_dim = max(1, min(256, backbone.num_features // 2))
        self.head_dim = check_whole("head_dim", head_dim, 1, MAX_WIDTH)
        self.levels = check_whole("levels", levels, 1, 16)
        pyramid = backbone.pyramid_outputs
        maps = [pyramid[name] for name in sorted(pyramid, key=lambda name: int(name[1:]))][-levels:]
        # Held by a function: the encoder's layers are this model's through `backbone` alone.
        network = keras.Model(backbone.input, maps)
        self.pyramid_of = lambda images, training: network(images, training=training)
        self.grid = BoxGrid([x.shape[1:3] for x in maps], backbone.image_shape[:2])
        self.head = DetectionHead(
            dim=self.head_dim, classes=len(self.class_names), name="detection_head"
        )
        self.head.build([tuple(x.shape) for x in maps])
        self.built = True

    def call(self, images, training=False):
        maps = self.pyramid_of(images, training)
        maps = maps if isinstance(maps, list | tuple) else [maps]
        numbers = ops.cast(self.head(maps, training=training), "float32")
        return ops.concatenate([self.grid.decode(numbers[..., :4]), numbers[..., 4:]], axis=-1)

    @classmethod
    def for_source(cls, backbone, source):
        return cls(backbone, source.class_names)

    @classmethod
    def check_settings(cls, settings):
        check_installed()
        for name in ("mixup_alpha", "cutmix_alpha", "rand_augment_magnitude", "labels_per_class",
                     "label_smoothing"):  # fmt: skip
            if getattr(settings, name):
                raise UserError(
                    f"Setting {name} means nothing to detection, whose labels are boxes and not one "
                    "class an image: leave it out. (Crops, flips, erasing and label_share work.)"
                )

    def blank_labels(self):
        return np.full((1, 1, 5), -1, "float32")

    def targets(self, labels):
        return assign(self.grid, labels)

    def compile_for(self, settings, optimizer):
        metrics = [BoxIoU(), BoxClassAccuracy()]
        self.compile(optimizer, BoxLoss(), weighted_metrics=metrics)

    def named(self, outputs):
        height, width = self.grid.size
        boxes = ops.divide(outputs[..., :4], np.array([width, height] * 2, "float32"))
        return {"boxes": ops.clip(boxes, 0, 1), "scores": ops.sigmoid(outputs[..., 4:])}

    def score(self, batches):
        """COCO's AP, AP50 and AP75, 0 to 1, in the size of the images.

        Raises:
            UserError: pycocotools is not there.
        """
        return self.findings(batches).scores

    def findings(self, batches):
        """By class, with the images that are worst: see `DetectionFindings`."""
        from eesmm_keras.evaluation.detection.findings import DetectionFindings

        named = (
            ({k: ops.convert_to_numpy(x) for k, x in self.named(outputs).items()}, truths)
            for outputs, truths in batches
        )
        return DetectionFindings.of(self.class_names, named)

    def facts(self):
        return {"task": "detection"}

    def get_config(self):
        arguments = {"head_dim": self.head_dim, "levels": self.levels}
        return {**super().get_config(), **arguments}

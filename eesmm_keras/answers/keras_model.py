"""Models of this package, and public weights, as what answers questions about images."""

import keras

from eesmm_keras.evaluation.features import stage_means
from eesmm_keras.tasks.image_classifier import ImageClassifier
from eesmm_keras.tasks.task import Task
from eesmm_keras.training.inputs import reading_of
from eesmm_keras.training.weights import encoder_of, load_checked


class KerasModel:
    """A run, a `.keras` file or public weights; see `docs/weights.md`.

    Args:
        where: see `weights.load_checked`. say: takes the report of public weights.

    Attributes:
        image_shape: `(H, W, channels)` of the images. reading: `Reading`, how they are read.
        task: "segmentation", "detection", what a plug-in's `Task.facts` says, or None.
        class_names: tuple of str where it classifies images, pixels or boxes; None where it does not.
        class_numbers: list of int where it classifies pixels, what stands for each class in a mask.

    Raises:
        UserError: see `weights.load_checked`.
    """

    def __init__(self, where, say=None):
        model = load_checked(where, say)
        backbone = encoder_of(model, where)
        self.kind = type(model).__name__
        self.image_shape, self.reading = tuple(backbone.image_shape), reading_of(backbone)
        self._model, self._backbone, self._network = model, backbone, None
        facts = model.facts() if isinstance(model, Task) else {}
        self.task, self.class_numbers = facts.get("task"), facts.get("class_numbers")
        self.class_names = None
        if isinstance(model, ImageClassifier):
            self.class_names = model.class_names or tuple(map(str, range(model.num_classes)))
        elif self.task is not None:
            self.class_names = model.class_names

    def logits(self, images):
        """Class scores before softmax, float32 `(B, classes)` or `(B, H, W, classes)`, of uint8 images
        `(B, H, W, C)`."""
        return self._outputs(images)

    def boxes(self, images):
        """What a detector says: {"boxes": `(B, places, 4)`, shares of the image's width and height,
        "scores": `(B, places, classes)`}."""
        named = self._model.named(self._outputs(images))
        return {name: keras.ops.convert_to_numpy(x) for name, x in named.items()}

    def _outputs(self, images):
        if self._network is None:
            self._network = self._model.local_model()
        return self._run(images)

    def features(self, images):
        """What the encoder says, by name: "pooled" `(B, C)`, "stages": `{level: (B, C)}`, and
        "patches" `(B, rows, cols, C)`."""
        if self._network is None:
            self._network = self._backbone.feature_extractor()
        outputs = self._run(images)
        stages = stage_means(outputs)
        return {"pooled": outputs["pooled"], "stages": stages, "patches": outputs["feature_map"]}

    def _run(self, images):
        outputs = self._network.predict_on_batch(images)
        to_numpy = keras.ops.convert_to_numpy
        return keras.tree.map_structure(lambda x: to_numpy(x).astype("float32"), outputs)

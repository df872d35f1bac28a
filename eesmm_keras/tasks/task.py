"""The contract of a task: what is put on an encoder, and what the labels of images mean to it."""

from typing import ClassVar

import keras
import numpy as np

from eesmm_keras.backbones.backbone import check_encoder
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.findings import Findings
from eesmm_keras.guarded_model import GuardedModel


class Task(GuardedModel):
    """A model around an encoder that learns from labels: fine-tuned, evaluated and exported.

    The member NAME of the family is `tasks/NAME.py`, or a plug-in `tasks/NAME.py`; `eesmm finetune
    --task NAME` takes it. The class is registered with Keras, so that its files can be loaded:
    `@keras.saving.register_keras_serializable(package="my_package")`.

    A source says what its labels are, see `data.labels`: class numbers, masks. A task says which of
    them it learns from; what they are to the model, only the task knows.

    Args:
        backbone: the encoder.
        class_names: names of the source's classes, in the order of their numbers, or None; they travel
            with the file and its exports.

    Attributes:
        label_kind: the labels that it learns from, "classes" or "masks": `data.labels.Labels.kind`.
        whole_images: whether evaluation shows whole images, brought to the model's size, instead of
            their centre.
        defaults: dict of settings of `eesmm finetune` that have other defaults here.
        output_descriptions: {name: what it is} of the outputs, for exports. `call` returns a dict by
            these names, or a tensor where there is but one.
    """

    label_kind = "classes"
    whole_images = False
    defaults: ClassVar[dict] = {}
    output_descriptions: dict

    def __init__(self, backbone, class_names=None, **kwargs):
        super().__init__(**kwargs)
        check_encoder(backbone, type(self).__name__)
        self.backbone = backbone
        self.class_names = None if class_names is None else tuple(class_names)

    # === What a task defines ===

    @classmethod
    def for_source(cls, backbone, source):
        """A new model for the labels of an `ImageSource`.

        Raises:
            UserError: they are nothing to this task.
        """
        raise NotImplementedError

    def call(self, images, training=False):
        """Images `(B, H, W, C)`, pixel values 0..255 -> outputs, float32."""
        raise NotImplementedError

    def targets(self, labels):
        """What the loss compares outputs with; runs in `tf.data`, on tensors of TensorFlow.

        Args:
            labels: as a view of their images shows them: class numbers, int64 `(B,)`; or masks, uint8
                `(B, H, W)` with 255 where a pixel is ignored.

        Returns:
            float32 `(B, ...)`, of which MixUp and CutMix take weighted means; or whole numbers, if
            `check_settings` refuses these.
        """
        raise NotImplementedError

    def compile_for(self, settings, optimizer):
        """`compile` with the task's loss.

        Args:
            settings: `FinetuneSettings`.
            optimizer: of the run. Metrics go into `weighted_metrics`: validation batches may be filled
                up with images of weight 0.
        """
        raise NotImplementedError

    def score(self, batches):
        """How good the outputs are: {name: number}, the one that counts most first.

        Args:
            batches: iterable, to be gone through once, of `(outputs, labels)`: NumPy arrays of what
                `call` returned, and the labels as they are: class numbers `(B,)`, or a list of masks
                uint8 `(h, w)`, in the size of their files.
        """
        raise NotImplementedError

    # === What a task may define ===

    @classmethod
    def check_settings(cls, settings):
        """Raise a UserError where `FinetuneSettings` ask for what this task does not have."""

    def blank_labels(self):
        """Labels of one image, as `targets` takes them, of any values: here class numbers."""
        return np.zeros(1, "int64")

    def facts(self):
        """Dict of plain values that exports of the model tell, beside its classes."""
        return {}

    def findings(self, batches):
        """All that `eesmm evaluate` tells: here the score alone.

        Args:
            batches: see `score`.

        Returns:
            `evaluation.findings.Findings`, whose scores are those of `score`.
        """
        return Findings(self.score(batches))

    def points(self, outputs, labels):
        """A score in points of a hundred, more is better, by which an export of a lower precision is
        judged; None where there is no such score.

        Args:
            outputs: {name: array `(N, ...)`} by the names of `output_descriptions`.
            labels: class numbers `(N,)`, or what `answers` gives.

        Returns:
            `(what it is called, number)` or None.
        """
        return None

    def answers(self, outputs):
        """Class numbers, `(N,)` or one for each pixel, that outputs (see `points`) stand for; None
        where they are none."""
        return None

    # === What all tasks share ===

    def check_source(self, source):
        """Raise a UserError where the labels of a source are not those that the model knows."""
        if self.class_names != source.class_names:
            raise UserError(
                f"The classes of {source.name} ({_some(source.class_names)}) are not those that the "
                f"model was trained on ({_some(self.class_names)})."
            )

    def named(self, outputs):
        """What `call` returned as a dict by the names of `output_descriptions`."""
        return (
            outputs
            if isinstance(outputs, dict)
            else {next(iter(self.output_descriptions)): outputs}
        )

    def build_metrics(self):
        """Make the variables of loss and metrics: a checkpoint holds what they have summed up."""
        images = keras.KerasTensor((1, *self.backbone.image_shape), self.backbone.input.dtype)
        shapes = self.compute_output_spec(images, training=False)
        blank = keras.tree.map_structure(lambda x: np.zeros(x.shape, "float32"), shapes)
        self.compute_metrics(None, np.asarray(self.targets(self.blank_labels())), blank)

    def local_model(self):
        """A plain `keras.Model` of the same weights: predicts on one device, outside any strategy."""
        inputs = keras.Input(self.backbone.image_shape, dtype=self.backbone.input.dtype)
        return keras.Model(inputs, self(inputs, training=False))

    def get_config(self):
        names = None if self.class_names is None else list(self.class_names)
        return {**super().get_config(), "class_names": names}


def _some(names):
    names = list(names or ())
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")

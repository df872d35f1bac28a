"""The contract of a task: what is put on an encoder, and what the labels of images mean to it."""

import keras
import numpy as np

from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.findings import Findings
from eesmm_keras.guarded_model import GuardedModel


class Task(GuardedModel):
    """A model around an encoder that learns from labels: fine-tuned, evaluated and exported.

    The member NAME of the family is `tasks/NAME.py`, or a plug-in `tasks/NAME.py`; `eesmm finetune
    --task NAME` takes it. The class is registered with Keras, so that its files can be loaded:
    `@keras.saving.register_keras_serializable(package="my_package")`.

    A source knows labels as class numbers with names. What they are to the model, only its task says.

    Args:
        backbone: the encoder.
        class_names: names of the source's classes, in the order of their numbers, or None; they travel
            with the file and its exports.

    Attributes:
        output_descriptions: {name: what it is} of the outputs, for exports. `call` returns a dict by
            these names, or a tensor where there is but one.
    """

    output_descriptions: dict

    def __init__(self, backbone, class_names=None, **kwargs):
        super().__init__(**kwargs)
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
            labels: int64 `(B,)`, class numbers.

        Returns:
            float32 `(B, ...)`. MixUp and CutMix take weighted means of them.
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
                `call` returned, and class numbers `(B,)`.
        """
        raise NotImplementedError

    # === What a task may define ===

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
            labels: class numbers `(N,)`.

        Returns:
            `(what it is called, number)` or None.
        """
        return None

    def answers(self, outputs):
        """Class numbers `(N,)` that outputs (see `points`) stand for; None where they are none."""
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
        self.compute_metrics(None, np.asarray(self.targets(np.zeros(1, "int64"))), blank)

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

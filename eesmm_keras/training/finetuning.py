"""`eesmm finetune` and `eesmm evaluate`: an encoder and labels to a classifier."""

import keras
import numpy as np

from eesmm_keras.backbones.presets import default_backbone
from eesmm_keras.data.pipeline import (
    Augmentation,
    batch_members,
    evaluation_dataset,
    labelled_dataset,
)
from eesmm_keras.data.sources import limit_source, open_source
from eesmm_keras.errors import UserError
from eesmm_keras.progress import track
from eesmm_keras.tasks.image_classifier import ImageClassifier
from eesmm_keras.training.bad_images import bad_images_line, open_images
from eesmm_keras.training.batch_plan import BatchPlan
from eesmm_keras.training.callbacks import run_callbacks
from eesmm_keras.training.job import Job, launch
from eesmm_keras.training.pretraining import build_backbone
from eesmm_keras.training.probing import probe
from eesmm_keras.training.schedules import make_optimizer
from eesmm_keras.training.weights import copy_weights, load_backbone, load_checked


def finetune(settings, say=print):
    """Run a fine-tuning.

    Args:
        settings: `FinetuneSettings`; `weights="none"` starts from random weights.
        say: takes lines for the screen.

    Returns:
        `(Run, accuracy)`: accuracy on the validation images, 0..1.

    Raises:
        UserError: anything about the settings or data that makes the run impossible.
    """

    def finish(job, model):
        model = load_checked(settings.out) if model is None else model
        return accuracy(model, job.valid, job.plan.batch_size)

    return launch(Finetune, settings, say, finish)


class Finetune(Job):
    """A classifier around an encoder learns labels. See `Job`."""

    kind = "finetune"

    def __init__(self, settings, devices, begun_with=None, say=print):
        super().__init__(settings, devices, begun_with, say)
        train = open_images(settings, "train", labelled=True)
        valid = open_images(settings, "val", labelled=True)
        self.valid = limit_source(valid, settings.val_limit, seed=settings.seed)
        train = limit_source(train, settings.limit, seed=settings.seed)
        self.train = limit_source(train, share=settings.label_share, seed=settings.seed)
        self.sources = (self.train, self.valid)
        self.plan = BatchPlan.make(
            settings, len(self.train), replicas=devices.replicas, begun_with=begun_with
        )

    def build(self):
        settings = self.settings
        keras.config.set_dtype_policy(settings.precision)
        backbone = build_encoder(settings)
        self.model = ImageClassifier(backbone, len(self.train.class_names), self.train.class_names)
        optimizer = make_optimizer(
            settings, self.model, self.plan.steps, batch_size=self.plan.batch_size
        )
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=settings.label_smoothing
        )
        measured = [keras.metrics.CategoricalAccuracy("accuracy")]
        # Weighted: where validation batches are filled up, with images of weight 0.
        self.model.compile(optimizer, loss, weighted_metrics=measured)
        # Built before the first step: a checkpoint holds what they have summed up. Compiling may have
        # wrapped the optimizer into one that scales the loss.
        self.model.optimizer.build(self.model.trainable_variables)
        blank = np.zeros((1, self.model.num_classes), "float32")
        self.model.compute_metrics(None, blank, blank)
        return self.model

    @property
    def image_size(self):
        """Side of the square images in pixels, once the model is built."""
        return self.model.backbone.image_shape[0]

    def derived(self):
        return {**super().derived(), "image_size": self.image_size}

    def batches(self, start):
        settings = self.settings
        augmentation = Augmentation(
            rand_augment_magnitude=settings.rand_augment_magnitude,
            mixup_alpha=settings.mixup_alpha or 0.0,
            cutmix_alpha=settings.cutmix_alpha or 0.0,
            erasing=settings.erasing,
            crop_scale=settings.crop_scale,
            crop_ratio=settings.crop_ratio,
            flip=settings.flip,
        )
        return labelled_dataset(
            self.train,
            self.image_size,
            self.plan.batch_size,
            num_classes=self.model.num_classes,
            steps=self.plan.total_steps,
            start_step=start,
            seed=settings.seed,
            augmentation=augmentation,
            shard=self.devices.shard,
        )

    def validation(self):
        import tensorflow as tf

        classes, batch_size = self.model.num_classes, self.plan.batch_size
        batches = evaluation_dataset(self.valid, self.image_size, batch_size)
        one_hot = batches.map(lambda x, y: (x, tf.one_hot(y, classes)))
        return self.devices.feed_validation(one_hot, len(self.valid), batch_size)

    def members(self, step):
        seed = self.settings.seed
        members = batch_members(len(self.train), self.plan.batch_size, step, seed=seed)
        return {"seed": seed, "images": [self.train.describe(i) for i in members]}

    def callbacks(self, position, folder):
        ema = [keras.callbacks.SwapEMAWeights()] if self.settings.ema_momentum else []
        return [*ema, *run_callbacks(folder, self.plan, position)]

    def introduction(self):
        settings, plan = self.settings, self.plan
        lines = [self.valid.note, bad_images_line(self.train), bad_images_line(self.valid)]
        return [
            *super().introduction(),
            *filter(None, lines),
            f"Fine-tuning on {plan.images} images of {self.model.num_classes} classes, validation on "
            f"{len(self.valid)}: weights {settings.weights}, {plan.epochs} epochs of {plan.steps} "
            f"steps, {plan.batch_size} images per step, {keras.backend.backend()}, "
            f"{settings.precision}",
        ]


def build_encoder(settings):
    """Encoder with the settings' weights, size and stochastic depth.

    Raises:
        UserError: no such encoder, or weights of another one.
    """
    drop_path = settings.drop_path
    if settings.weights == "none":
        name = settings.backbone or default_backbone(settings.data)
        return build_backbone(name, settings.image_size, drop_path=drop_path)
    source = load_backbone(settings.weights)
    if settings.backbone:
        backbone = build_backbone(settings.backbone, settings.image_size, drop_path=drop_path)
    else:
        config = {**source.get_config(), "drop_path": drop_path}
        if settings.image_size:
            config["image_shape"] = (settings.image_size, settings.image_size, 3)
        try:
            backbone = type(source).from_config(config)
        except ValueError as error:
            raise UserError(str(error)) from error
    copy_weights(source, backbone, settings.weights)
    return backbone


def accuracy(model, source, batch_size=64):
    """Top-1 accuracy 0..1 of a classifier on a labelled source."""
    right = seen = 0
    # A plain Model: predicts locally on one device, outside any strategy.
    inputs = keras.Input(model.backbone.image_shape, dtype=model.backbone.input.dtype)
    alone = keras.Model(inputs, model(inputs, training=False))
    batches = evaluation_dataset(source, model.backbone.image_shape[0], batch_size)
    for images, labels in track(batches, len(source), "evaluating"):
        logits = keras.ops.convert_to_numpy(alone.predict_on_batch(images.numpy()))
        right += int((logits.argmax(-1) == labels.numpy()).sum())
        seen += len(logits)
    return right / seen


def evaluate(data, weights, mode="accuracy", split="test", batch_size=64, **where):
    """Accuracy of a run or file on a data set.

    Args:
        data, **where (data_dir, max_image_pixels, follow_links): see `open_source`.
        weights: a run's folder or a `.keras` file.
        mode: "accuracy" of a classifier; or a probe of its frozen features, see `make_probe`.
        split: "test" or "val".

    Returns:
        `(accuracy 0..1, number of images, source)`.

    Raises:
        UserError: the data or the file don't fit the mode.
    """
    model = load_checked(weights)
    test = open_source(data, split, labelled=True, **where)
    if mode == "accuracy":
        if not isinstance(model, ImageClassifier):
            raise UserError(
                f"{weights} is no classifier but a {type(model).__name__}. Fine-tune it first "
                "(eesmm finetune), or evaluate its features with --mode knn or linear."
            )
        if model.class_names != test.class_names:
            raise UserError(
                f"The classes of {data} ({_some(test.class_names)}) are not those that {weights} "
                f"was trained on ({_some(model.class_names)})."
            )
        return accuracy(model, test, batch_size), len(test), test
    backbone = getattr(model, "backbone", model)
    train = open_source(data, "train", labelled=True, **where)
    return probe(backbone, train, test, mode), len(test), test


def _some(names):
    names = list(names or ())
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")

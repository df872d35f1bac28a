"""`eesmm finetune`: an encoder and labels to a model for a task."""

import keras

from eesmm_keras.backbones.presets import default_backbone
from eesmm_keras.data.pipeline import (
    Augmentation,
    batch_members,
    evaluation_dataset,
    labelled_dataset,
)
from eesmm_keras.data.sources import limit_source
from eesmm_keras.errors import UserError
from eesmm_keras.image_size import in_words, plain_size
from eesmm_keras.names import counted
from eesmm_keras.partial_training import add_lora, freeze_stages, parameters, plain_copy
from eesmm_keras.tasks import TASKS
from eesmm_keras.training.bad_images import bad_images_line, open_images
from eesmm_keras.training.batch_plan import BatchPlan
from eesmm_keras.training.callbacks import run_callbacks
from eesmm_keras.training.evaluating import scores
from eesmm_keras.training.inputs import Inputs, asked_reading, start_of
from eesmm_keras.training.job import Job, launch
from eesmm_keras.training.pretraining import build_backbone, encoder_like
from eesmm_keras.training.schedules import make_optimizer
from eesmm_keras.training.weights import load_checked, start_from, weights_of

DEFAULT_TASK = "image_classifier"


def finetune(settings, say=print):
    """Run a fine-tuning.

    Args:
        settings: `FinetuneSettings`; `weights="none"` starts from random weights.
        say: takes lines for the screen.

    Returns:
        `(Run, scores)`: what the task scores on the validation images, {name: number}.

    Raises:
        UserError: anything about the settings or data that makes the run impossible.
    """

    def finish(job, model):
        model = load_checked(settings.out) if model is None else model
        return scores(model, job.valid, job.plan.batch_size)

    return launch(Finetune, settings, say, finish)


class Finetune(Job):
    """An encoder learns a task from labels. See `Job`."""

    kind = "finetune"

    def __init__(self, settings, devices, begun_with=None, say=print):
        super().__init__(settings, devices, begun_with, say)
        self.task = TASKS.get(settings.task_name or DEFAULT_TASK)
        self.task.check_settings(settings)
        start = start_of(settings.weights)
        reading = asked_reading(settings, start)
        kind = self.task.label_kind
        train = open_images(settings, "train", labelled=kind, reading=reading)
        valid = open_images(settings, "val", labelled=kind, reading=reading)
        self.valid = limit_source(valid, settings.val_limit, seed=settings.seed)
        train = limit_source(train, settings.limit, seed=settings.seed)
        labels = {"share": settings.label_share, "per_class": settings.labels_per_class}
        self.train = limit_source(train, **labels, seed=settings.seed)
        self.sources = (self.train, self.valid)
        self.plan = BatchPlan.make(
            settings, len(self.train), replicas=devices.replicas, begun_with=begun_with
        )
        self.inputs = Inputs(settings, self.train, begun_with, start)
        self.inputs.read_alike(self.valid)
        check_augmentation(settings, self.inputs)

    def build(self):
        settings = self.settings
        keras.config.set_dtype_policy(settings.precision)
        backbone, self.origin = build_encoder(settings, self.inputs)
        self.adapted = limit_training(backbone, settings)
        self.model = self.task.for_source(backbone, self.train)
        self.model.check_source(self.valid)
        optimizer = make_optimizer(
            settings, self.model, self.plan.steps, batch_size=self.plan.batch_size
        )
        self.model.compile_for(settings, optimizer)
        # Before the first step: a checkpoint holds all variables.
        self.model.build_metrics()
        return self.model

    @property
    def image_size(self):
        """Side of the images in pixels, or height and width, once the model is built."""
        return plain_size(self.model.backbone.image_shape[:2])

    def derived(self):
        data = {"validation_images": len(self.valid), "classes": len(self.train.class_names)}
        numbers = {**super().derived(), **data, "image_size": self.image_size}
        return {**numbers, **self.inputs.derived()}

    def finished(self, model):
        """A model that anybody can load and train on, whatever of it was trained here."""
        limited = self.settings.lora or self.settings.freeze
        return plain_copy(model) if limited else model

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
            targets=self.model.targets,
            steps=self.plan.total_steps,
            start_step=start,
            seed=settings.seed,
            augmentation=augmentation,
            shard=self.devices.shard,
        )

    def validation(self):
        model, batch_size = self.model, self.plan.batch_size
        batches = evaluation_dataset(
            self.valid, self.image_size, batch_size, self.task.whole_images
        )
        with_targets = batches.map(lambda images, labels: (images, model.targets(labels)))
        return self.devices.feed_validation(with_targets, len(self.valid), batch_size)

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
            *self.inputs.in_words(),
            f"Fine-tuning on {plan.images} images of {len(self.train.class_names)} classes, validation "
            f"on {len(self.valid)}: {type(self.model.backbone).__name__}, {in_words(self.image_size)} "
            f"pixels, weights {settings.weights}, {counted(plan.epochs, 'epoch')} of "
            f"{counted(plan.steps, 'step')}, {counted(plan.batch_size, 'image')} per step, "
            f"{keras.backend.backend()}, {settings.precision}",
            self._what_learns(),
        ]

    def _what_learns(self):
        trained, total = parameters(self.model)
        parts = []
        if self.settings.freeze:
            stages = len(self.model.backbone.stage_depths)
            parts.append(f"the first {self.settings.freeze} of {stages} stages are frozen")
        if self.settings.lora:
            parts.append(f"LoRA of rank {self.settings.lora} on {counted(self.adapted, 'layer')}")
        why = f" ({', '.join(parts)})" if parts else ""
        return f"Trained: {trained:,} of {total:,} parameters{why}"


def limit_training(backbone, settings):
    """Freeze what the settings say, and add LoRA; returns the number of layers that have it.

    Raises:
        UserError: the encoder has not so many stages, or no layers for updates of that rank.
    """
    freeze_stages(backbone, settings.freeze)
    return add_lora(backbone, settings.lora) if settings.lora else 0


def check_augmentation(settings, inputs):
    """Raise a UserError where colours are to be changed, and the images have none."""
    if settings.rand_augment_magnitude is not None and not inputs.reading.plain:
        kind = "native" if inputs.reading.native else "8-bit"
        raise UserError(
            "rand_augment_magnitude works on 8-bit RGB images, and these are of "
            f"{inputs.channels} channels of {kind} pixels: set it to null. (MixUp, CutMix, erasing, "
            "crops and flips work on any.)"
        )


def build_encoder(settings, inputs=None):
    """Encoder with the settings' weights, size and stochastic depth.

    Args:
        inputs: `Inputs` of the run; None: the channels and normalisation of the preset or weights.

    Returns:
        `(encoder, Report)`; the report is None for random weights.

    Raises:
        UserError: no such encoder, or weights of another one.
    """
    drop_path = settings.drop_path
    if settings.weights == "none":
        name = settings.backbone or default_backbone(settings.data)
        return build_backbone(name, settings.image_size, inputs, drop_path=drop_path), None
    weights = weights_of(settings.weights)
    if settings.backbone:
        backbone = build_backbone(
            settings.backbone, settings.image_size, inputs, drop_path=drop_path
        )
    else:
        backbone = encoder_like(weights, settings.image_size, inputs, drop_path=drop_path)
    return backbone, start_from(backbone, weights, settings)

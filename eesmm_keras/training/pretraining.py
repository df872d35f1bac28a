"""`eesmm pretrain`: unlabelled images to an encoder."""

import keras

from eesmm_keras import backbones, methods
from eesmm_keras.backbones.presets import default_backbone
from eesmm_keras.converters.importing import new_encoder
from eesmm_keras.data.pipeline import batch_members, load_arrays, pretrain_dataset
from eesmm_keras.data.sources import limit_source
from eesmm_keras.errors import UserError
from eesmm_keras.image_size import both_sides, in_words, plain_size
from eesmm_keras.layers.fused import check_one_gpu, fuse_attention
from eesmm_keras.layers.recomputed import recompute_blocks
from eesmm_keras.names import built_by, counted, shortened
from eesmm_keras.training.bad_images import bad_images_line, open_images
from eesmm_keras.training.batch_plan import BatchPlan
from eesmm_keras.training.callbacks import Pictures, Probe, RefreshMasks, run_callbacks
from eesmm_keras.training.health.watch import Health
from eesmm_keras.training.inputs import Inputs, asked_reading, start_of
from eesmm_keras.training.job import Job, launch
from eesmm_keras.training.schedules import make_optimizer
from eesmm_keras.training.settings import method_arguments
from eesmm_keras.training.weights import start_from, weights_of

# Images in the run's pictures.
_SHOWN = 8


def pretrain(settings, say=print):
    """Run a pre-training.

    Args:
        settings: `PretrainSettings`.
        say: takes lines for the screen.

    Returns:
        `Run` of the finished run.

    Raises:
        UserError: anything about the settings or data that makes the run impossible; it is found
            before training starts.
    """
    return launch(Pretrain, settings, say)[0]


class Pretrain(Job):
    """A method trains an encoder on images without labels. See `Job`."""

    kind = "pretrain"

    def __init__(self, settings, devices, begun_with=None, say=print):
        super().__init__(settings, devices, begun_with, say)
        start = start_of(settings.init_from)
        reading = asked_reading(settings, start)
        source = open_images(settings, seed=settings.seed, reading=reading)
        self.source = limit_source(source, settings.limit, seed=settings.seed)
        self.sources = (self.source,)
        self.plan = BatchPlan.make(
            settings,
            len(self.source),
            **batch_rule(settings),
            replicas=devices.replicas,
            begun_with=begun_with,
        )
        self.inputs = Inputs(settings, self.source, begun_with, start)
        self.probe_sources = _open_probe_sources(settings, self.inputs.reading)

    def build(self):
        settings = self.settings
        keras.config.set_dtype_policy(settings.precision)
        weights = weights_of(settings.init_from) if settings.init_from else None
        if weights and not settings.backbone:
            self.backbone_name = f"the encoder of {settings.init_from}"
            self.backbone = encoder_like(weights, settings.image_size, self.inputs)
        else:
            self.backbone_name = settings.backbone or default_backbone(settings.data)
            self.backbone = build_backbone(self.backbone_name, settings.image_size, self.inputs)
        self.model = build_method(settings, self.backbone)
        if weights:
            self.origin = start_from(self.model, weights, settings)
        if settings.remat:
            recompute_blocks(self.model)
        if settings.fused_attention:
            fuse_attention(self.model)
            check_one_gpu()
        optimizer = make_optimizer(
            settings,
            self.model,
            self.plan.steps,
            batch_size=self.plan.batch_size,
        )
        self.model.compile(optimizer)
        return self.model

    @property
    def image_size(self):
        """Side of the images in pixels, or height and width, once the encoder is built."""
        return plain_size(self.backbone.image_shape[:2])

    def derived(self):
        return {
            **super().derived(),
            "backbone": self.backbone_name,
            "image_size": self.image_size,
            **self.inputs.derived(),
        }

    def batches(self, start):
        settings = self.settings
        return pretrain_dataset(
            self.source,
            self.image_size,
            self.plan.batch_size,
            self.plan.total_steps,
            start_step=start,
            seed=settings.seed,
            crop_scale=settings.crop_scale,
            crop_ratio=settings.crop_ratio,
            flip=settings.flip,
            group=self.plan.group,
            shard=self.devices.shard,
        )

    def members(self, step):
        seed, plan = self.settings.seed, self.plan
        members = batch_members(
            len(self.source), plan.batch_size, step, seed=seed, group=plan.group
        )
        return {"seed": seed, "images": [self.source.describe(i) for i in members]}

    def callbacks(self, position, folder):
        settings, epochs = self.settings, self.plan.epochs
        shown, _ = load_arrays(self.source, self.image_size, limit=_SHOWN)
        shown = shown[: len(shown) // self.plan.group * self.plan.group]
        extra = [
            RefreshMasks(),
            Pictures(shown, folder.pictures, settings.pictures_every, position, epochs),
        ]
        if self.probe_sources:
            every = (settings.probe_mode, settings.probe_every, epochs)
            extra.append(Probe(*self.probe_sources, *every, folder))
        health = Health(folder, shown, position, self.say)
        return [*run_callbacks(folder, self.plan, position, extra), health]

    def introduction(self):
        settings, plan = self.settings, self.plan
        lines = [getattr(self.source, "note", ""), bad_images_line(self.source)]
        return [
            *super().introduction(),
            *filter(None, lines),
            *self.inputs.in_words(),
            f"{settings.method} on {plan.images} images of {settings.data}: {self.backbone_name}, "
            f"{in_words(self.image_size)} pixels, "
            f"{self.backbone.count_params() / 1e6:.1f} M parameters, "
            f"{counted(plan.epochs, 'epoch')} of {counted(plan.steps, 'step')}, "
            f"{counted(plan.batch_size, 'image')} per step, {keras.backend.backend()}, "
            f"{settings.precision}",
        ]


def build_backbone(name, image_size, inputs=None, **kwargs):
    """Encoder by name, see `backbones.from_preset`.

    Args:
        image_size: pixels, or height and width; None: the preset's.
        inputs: `Inputs` of the run; None: the preset's channels and normalisation.
        kwargs: other arguments.

    Raises:
        UserError: an unknown preset or argument, or a size or channels that do not fit.
    """
    with built_by(f"encoder {shortened(name)}"):
        height, width, own = backbones.preset_arguments(name)[1]["image_shape"]
        channels = own if inputs is None else inputs.channels
        if own not in (3, channels):
            raise UserError(
                f"{shortened(name)} takes images of {own} channels, and these have {channels}: "
                f"--channels {own} reads such images."
            )
        if image_size:
            height, width = both_sides(image_size)
        if image_size or channels != own:
            kwargs["image_shape"] = (height, width, channels)
        if inputs is not None:
            kwargs.update(inputs.arguments())
        return backbones.from_preset(name, **kwargs)


def encoder_like(weights, image_size, inputs=None, **changes):
    """Encoder of the kind and sizes that weights are of, without them.

    Args:
        weights: of `weights.weights_of`.
        image_size: pixels, or height and width; None: that of the weights.
        inputs: `Inputs` of the run; None: the weights' channels and normalisation.
        changes: other arguments.

    Raises:
        UserError: a size that does not fit.
    """
    height, width, own = weights.arguments["image_shape"]
    channels = own if inputs is None else inputs.channels
    if image_size:
        height, width = both_sides(image_size)
    if image_size or channels != own:
        changes["image_shape"] = (height, width, channels)
    if inputs is not None:
        changes.update({"reading": None, **inputs.arguments()})
    return new_encoder(weights, **changes)


def build_method(settings, backbone):
    """The pre-training model that the settings describe."""
    with built_by(f"method {settings.method!r}"):
        return methods.get(settings.method)(backbone, seed=settings.seed, **settings.method_args)


def batch_rule(settings):
    """What the settings' method wants of a batch: keyword arguments of `BatchPlan.make`."""
    arguments = {**method_arguments(settings.method), **settings.method_args}
    with built_by(f"method {settings.method!r}"):
        rule = methods.get(settings.method).batch_rule(arguments)
    return {"group": rule.images_per_sample, "least": rule.smallest_batch}


def _open_probe_sources(settings, reading):
    """Labelled train and test images for probes during training, or None."""
    if not settings.probe_data:
        return None
    options = {"labelled": True, "reading": reading.replaced(tile=None)}
    return [
        open_images(settings, split, data=settings.probe_data, **options)
        for split in ("train", "test")
    ]

"""`eesmm pretrain`: unlabelled images to an encoder."""

import keras

from eesmm_keras import backbones, methods
from eesmm_keras.backbones.presets import default_backbone
from eesmm_keras.data.pipeline import batch_members, load_arrays, pretrain_dataset
from eesmm_keras.data.sources import limit_source
from eesmm_keras.errors import UserError
from eesmm_keras.training.bad_images import bad_images_listed, open_images
from eesmm_keras.training.callbacks import Pictures, Probe, RefreshMasks, run_callbacks
from eesmm_keras.training.devices import use_devices
from eesmm_keras.training.loop import train
from eesmm_keras.training.runs import Run
from eesmm_keras.training.schedules import make_optimizer
from eesmm_keras.training.settings import as_dict, method_arguments
from eesmm_keras.training.weights import copy_weights, load_backbone

# Images in the run's pictures.
_SHOWN = 8


def build_backbone(name, image_size, **kwargs):
    """Encoder by name, see `backbones.from_preset`; of another image size if `image_size` is given.

    Raises:
        UserError: an unknown preset or argument, or a size that does not fit.
    """
    if image_size:
        kwargs["image_shape"] = (image_size, image_size, 3)
    try:
        return backbones.from_preset(name, **kwargs)
    except ValueError as error:
        raise UserError(str(error)) from error
    except TypeError as error:
        raise UserError(f"An argument in {name!r} is of the wrong kind: {error}.") from error


def build_method(settings, backbone):
    """The pre-training model that the settings describe."""
    try:
        return methods.get(settings.method)(backbone, seed=settings.seed, **settings.method_args)
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error


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
    keras.utils.set_random_seed(settings.seed)
    with use_devices(settings) as devices:
        return _pretrain(settings, devices, say)


def _pretrain(settings, devices, say):
    source = open_images(settings, seed=settings.seed)
    source = limit_source(source, settings.limit, seed=settings.seed)
    settings.backbone = settings.backbone or default_backbone(settings.data)
    keras.config.set_dtype_policy(settings.precision)
    arguments = {**method_arguments(settings.method), **settings.method_args}
    images_per_sample = methods.get(settings.method).images_in_sample(arguments)
    if settings.batch_size % images_per_sample:
        raise UserError(
            f"--batch-size {settings.batch_size} must be a multiple of {images_per_sample}: "
            f"{settings.method} mixes {images_per_sample} images into one."
        )
    if len(source) < images_per_sample:
        raise UserError(
            f"{settings.data} holds {len(source)} image, and {images_per_sample} are mixed into one:"
            f" at least {images_per_sample} are needed."
        )
    probe_sources = _probe_sources(settings)
    part = images_per_sample * devices.replicas
    batch_size = min(settings.batch_size, max(part, len(source) // part * part))
    if batch_size < settings.batch_size:
        say(f"Batches of {batch_size}: there are only {len(source)} images.")
        settings.batch_size = batch_size
    steps = settings.steps_per_epoch or max(1, round(len(source) / settings.batch_size))
    settings.steps_per_epoch = steps

    smallest = methods.get(settings.method).smallest_batch
    with devices.scope(settings.batch_size, images_per_sample, smallest):
        backbone = build_backbone(settings.backbone, settings.image_size)
        settings.image_size = backbone.image_shape[0]
        if settings.init_from:
            copy_weights(load_backbone(settings.init_from), backbone, settings.init_from)
        model = build_method(settings, backbone)
        optimizer = make_optimizer(settings, model, steps)
        # Built before the first step, or TensorFlow traces the step twice.
        optimizer.build(model.trainable_variables)
        model.compile(optimizer)

    run, known_bad = Run(settings.out), len(source.bad)
    views = {
        "image_size": settings.image_size,
        "crop_scale": settings.crop_scale,
        "crop_ratio": settings.crop_ratio,
        "flip": settings.flip,
    }
    order = {"seed": settings.seed, "group": images_per_sample}

    def make_dataset(start):
        end = settings.epochs * steps
        batches = {"batch_size": settings.batch_size, "steps": end, "start_step": start}
        return pretrain_dataset(source, **batches, **views, **order, shard=devices.shard)

    def describe(step):
        members = batch_members(len(source), settings.batch_size, step, **order)
        return {"seed": settings.seed, "images": [source.describe(i) for i in members]}

    def callbacks(position):
        pictures = Pictures(shown, run.pictures, settings.pictures_every, position, settings.epochs)
        extra = [RefreshMasks(), pictures]
        if probe_sources:
            every = (settings.probe_mode, settings.probe_every, settings.epochs)
            extra.append(Probe(*probe_sources, *every, run))
        return run_callbacks(run, settings, position, extra)

    # Opened before the folder is made: it tells if nothing can be read.
    make_dataset(0)
    if not run.begin("pretrain", as_dict(settings)):
        say(f"The run in {run.path} is finished: nothing to do.")
        return run
    _describe(source, settings, backbone, steps, say)
    shown, _ = load_arrays(source, settings.image_size, limit=_SHOWN)
    shown = shown[: len(shown) // images_per_sample * images_per_sample]
    with bad_images_listed(run, source):
        train(
            model,
            run,
            settings,
            steps,
            make_dataset,
            callbacks,
            describe,
            len(source),
            devices,
            say,
        )
    run.finish(model)
    if len(source.bad) > known_bad:
        say(bad_images_line(source))
    return run


def _probe_sources(settings):
    """Labelled train and test images for probes during training, or None."""
    if not settings.probe_data:
        return None
    return [
        open_images(settings, split, data=settings.probe_data, labelled=True)
        for split in ("train", "test")
    ]


def _describe(source, settings, backbone, steps, say):
    for line in (getattr(source, "note", ""), bad_images_line(source)):
        if line:
            say(line)
    say(
        f"{settings.method} on {len(source)} images of {settings.data}: {settings.backbone}, "
        f"{settings.image_size} pixels, {backbone.count_params() / 1e6:.1f} M parameters, "
        f"{settings.epochs} epochs of {steps} steps, {settings.batch_size} images a step, "
        f"{keras.backend.backend()}, {settings.precision}"
    )


def bad_images_line(source):
    """`Skipped 2 images that cannot be read: a.jpg (...), ...`, or an empty text."""
    if not source.bad:
        return ""
    named = ", ".join(f"{name} ({reason})" for name, reason in source.bad[:5])
    more = f", and {len(source.bad) - 5} more" if len(source.bad) > 5 else ""
    plural = "s" * (len(source.bad) != 1)
    return f"Skipped {len(source.bad)} image{plural} that cannot be read: {named}{more}"

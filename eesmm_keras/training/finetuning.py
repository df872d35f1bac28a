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
from eesmm_keras.training import loop
from eesmm_keras.training.bad_images import bad_images_listed, open_images
from eesmm_keras.training.callbacks import run_callbacks
from eesmm_keras.training.devices import use_devices
from eesmm_keras.training.pretraining import bad_images_line, build_backbone
from eesmm_keras.training.probing import probe
from eesmm_keras.training.runs import Run
from eesmm_keras.training.schedules import make_optimizer
from eesmm_keras.training.settings import as_dict
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
    keras.utils.set_random_seed(settings.seed)
    with use_devices(settings) as devices:
        return _finetune(settings, devices, say)


def _finetune(settings, devices, say):
    train = open_images(settings, "train", labelled=True)
    valid = open_images(settings, "val", labelled=True)
    valid = limit_source(valid, settings.val_limit, seed=settings.seed)
    train = limit_source(train, settings.limit, seed=settings.seed)
    train = limit_source(train, share=settings.label_share, seed=settings.seed)
    keras.config.set_dtype_policy(settings.precision)
    part = devices.replicas
    batch_size = min(settings.batch_size, max(part, len(train) // part * part))
    if batch_size < settings.batch_size:
        say(f"Batches of {batch_size}: there are only {len(train)} images.")
        settings.batch_size = batch_size
    steps = settings.steps_per_epoch or max(1, round(len(train) / settings.batch_size))
    settings.steps_per_epoch = steps

    with devices.scope(settings.batch_size):
        backbone = _encoder(settings)
        model = ImageClassifier(backbone, len(train.class_names), train.class_names)
        optimizer = make_optimizer(settings, model, steps)
        optimizer.build(model.trainable_variables)
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=settings.label_smoothing
        )
        measured = [keras.metrics.CategoricalAccuracy("accuracy")]
        # Weighted: where validation batches are filled up, with images of weight 0.
        model.compile(optimizer, loss, weighted_metrics=measured)

        # Built before the first step: a checkpoint holds what they have summed up.
        blank = np.zeros((1, model.num_classes), "float32")
        model.compute_metrics(None, blank, blank)

    run = Run(settings.out)
    size = settings.image_size
    augmentation = Augmentation(
        rand_augment_magnitude=settings.rand_augment_magnitude,
        mixup_alpha=settings.mixup_alpha or 0.0,
        cutmix_alpha=settings.cutmix_alpha or 0.0,
        erasing=settings.erasing,
        crop_scale=settings.crop_scale,
        crop_ratio=settings.crop_ratio,
        flip=settings.flip,
    )

    def make_dataset(start):
        return labelled_dataset(
            train, size, settings.batch_size, num_classes=model.num_classes, start_step=start,
            steps=settings.epochs * steps, seed=settings.seed, augmentation=augmentation,
            shard=devices.shard,
        )  # fmt: skip

    def describe(step):
        members = batch_members(len(train), settings.batch_size, step, settings.seed)
        return {"seed": settings.seed, "images": [train.describe(i) for i in members]}

    def callbacks(position):
        ema = [keras.callbacks.SwapEMAWeights()] if settings.ema_momentum else []
        return [*ema, *run_callbacks(run, settings, position)]

    make_dataset(0)
    if not run.begin("finetune", as_dict(settings)):
        say(f"The run in {run.path} is finished: nothing to do.")
        return run, accuracy(load_checked(run.path), valid, settings.batch_size)
    known_bad = len(train.bad) + len(valid.bad)
    for line in (valid.note, bad_images_line(train), bad_images_line(valid)):
        if line:
            say(line)
    say(
        f"Fine-tuning on {len(train)} images of {model.num_classes} classes, validation on "
        f"{len(valid)}: weights {settings.weights}, {settings.epochs} epochs of {steps} steps, "
        f"{settings.batch_size} images a step, {keras.backend.backend()}, {settings.precision}"
    )
    validation = _one_hot(evaluation_dataset(valid, size, settings.batch_size), model)
    with bad_images_listed(run, train, valid):
        loop.train(
            model, run, settings, steps, make_dataset, callbacks, describe, len(train), devices, say,
            validation_data=devices.feed_validation(validation, len(valid), settings.batch_size),
        )  # fmt: skip
    run.finish(model)
    bad = [*train.bad, *valid.bad]
    if len(bad) > known_bad:
        say(f"Skipped {len(bad)} images that cannot be read: see {run.path / 'bad_images.txt'}")
    return run, accuracy(model, valid, settings.batch_size)


def _encoder(settings):
    """Encoder with the settings' weights, size and stochastic depth."""
    if settings.weights == "none":
        settings.backbone = settings.backbone or default_backbone(settings.data)
        backbone = build_backbone(
            settings.backbone, settings.image_size, drop_path=settings.drop_path
        )
        settings.image_size = backbone.image_shape[0]
        return backbone
    source = load_backbone(settings.weights)
    if settings.backbone:
        backbone = build_backbone(
            settings.backbone, settings.image_size, drop_path=settings.drop_path
        )
    else:
        config = {**source.get_config(), "drop_path": settings.drop_path}
        if settings.image_size:
            config["image_shape"] = (settings.image_size, settings.image_size, 3)
        try:
            backbone = type(source).from_config(config)
        except ValueError as error:
            raise UserError(str(error)) from error
    settings.image_size = backbone.image_shape[0]
    copy_weights(source, backbone, settings.weights)
    return backbone


def _one_hot(dataset, model):
    import tensorflow as tf

    return dataset.map(lambda x, y: (x, tf.one_hot(y, model.num_classes)))


def accuracy(model, source, batch_size=64):
    """Top-1 accuracy 0..1 of a classifier on a labelled source."""
    right = seen = 0
    # A model of its own runs on this host and one device, whatever the classifier was trained on.
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

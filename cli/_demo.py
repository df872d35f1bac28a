"""`eesmm demo`: the whole way on tiles of photographs, of which five per class have a label."""

from pathlib import Path

import click

DATA = "photo-tiles"


def run_demo(out, seed=0):
    """Pre-train, fine-tune, evaluate and export; prints one table and the paths.

    Every row of the table is a classifier that has seen the same labelled tiles.

    Args:
        out: new folder. seed: int >= 0, of everything that is drawn at random, the labels too.

    Returns:
        dict of row -> accuracy on the test tiles, 0 to 1.

    Raises:
        UserError: `out` exists already. DataError: scikit-image is not installed.
    """
    from eesmm_keras.errors import UserError
    from eesmm_keras.quiet import load_backend

    out = Path(out)
    if out.exists():
        raise UserError(f"{out} exists already. Choose another --out, or remove it.")
    load_backend()
    from eesmm_keras.data.sources import open_source
    from eesmm_keras.training.pretraining import pretrain
    from eesmm_keras.training.settings import resolve

    test = open_source(DATA, "test")
    click.secho("1. Pre-training without labels", bold=True)
    options = {"data": DATA, "out": str(out / "pretrain"), "seed": seed}
    settings = resolve("pretrain", "tiles_pretrain", options=options)
    run = pretrain(settings, say=click.echo)
    options = {"data": DATA, "backbone": settings.backbone, "seed": seed}
    tuned = {
        start: resolve(
            "finetune",
            "tiles_finetune",
            options={**options, "weights": weights, "out": str(out / f"finetune-{start}")},
        )
        for start, weights in (("pretrained", str(run.path)), ("scratch", "none"))
    }
    labelled = labelled_tiles(tuned["scratch"])
    rows = {
        **_fine_tuned(tuned, settings.epochs, test),
        **_frozen(settings, run, labelled, test),
        **_raw_pixels(labelled, test),
    }
    _export(out)
    title = f"{tuned['scratch'].labels_per_class} labelled tiles per class, {len(test)} test tiles"
    click.echo(f"\n{title:60} accuracy")
    for name, value in rows.items():
        click.echo(f"{name:60} {value:8.4f}")
    picture = max(run.pictures.glob("*.png"))
    click.echo(f"\npicture     {picture}\nONNX        {out / 'classifier.onnx'}")
    click.echo(f"SavedModel  {out / 'classifier'}")
    return rows


def labelled_tiles(settings):
    """The tiles whose labels a fine-tuning of these settings sees: an `ImageSource`."""
    from eesmm_keras.data.sources import limit_source, open_source

    # Which tiles are held out for validation does not follow the seed, there as here.
    train = open_source(DATA, "train")
    return limit_source(train, seed=settings.seed, per_class=settings.labels_per_class)


def _fine_tuned(tuned, epochs, test):
    from eesmm_keras.training.evaluating import scores
    from eesmm_keras.training.finetuning import finetune
    from eesmm_keras.training.weights import load_checked

    names = {
        "pretrained": f"fine-tuned from pre-training ({epochs} epochs)",
        "scratch": "fine-tuned from random weights, same budget",
    }
    rows = {}
    for number, (start, settings) in enumerate(tuned.items(), start=2):
        click.secho(f"{number}. Fine-tuning, {start}", bold=True)
        run, _ = finetune(settings, click.echo)
        rows[names[start]] = scores(load_checked(run.path), test)["accuracy"]
    return rows


def _frozen(settings, run, labelled, test):
    import keras

    from eesmm_keras.comparison.measuring import stage_features
    from eesmm_keras.evaluation import linear_probe_accuracy
    from eesmm_keras.training.pretraining import build_backbone
    from eesmm_keras.training.weights import load_backbone

    click.secho("4. Logistic regression on frozen features, and on raw pixels", bold=True)
    keras.utils.set_random_seed(settings.seed)
    random = build_backbone(settings.backbone, settings.image_size)
    rows = {}
    for when, backbone in (("after", load_backbone(run.path)), ("before", random)):
        _, features, labels = stage_features(backbone, labelled)
        _, others, answers = stage_features(backbone, test)
        rows[f"logistic regression on frozen features, {when} pre-training"] = (
            linear_probe_accuracy(features, labels, others, answers)
        )
    return rows


def _raw_pixels(labelled, test):
    import numpy as np

    from eesmm_keras.evaluation import knn_accuracy, linear_probe_accuracy

    pixels, others = (
        np.stack([np.asarray(source.load(i), "float32").ravel() for i in range(len(source))])
        for source in (labelled, test)
    )
    data = (pixels, labelled.labels, others, test.labels)
    return {
        "logistic regression on raw pixels": linear_probe_accuracy(*data),
        "nearest neighbour in raw pixels": knn_accuracy(*data, k=1),
    }


def _export(out):
    from eesmm_keras.exports import export_model

    click.secho("5. Exports", bold=True)
    best = out / "finetune-pretrained" / "model.keras"
    for fmt, name in (("onnx", "classifier.onnx"), ("savedmodel", "classifier")):
        click.echo(str(export_model(best, fmt, out / name)))

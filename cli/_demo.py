"""`eesmm demo`: the whole way on scikit-learn's handwritten digits."""

from pathlib import Path

import click


def run_demo(out):
    """Pre-train, fine-tune, evaluate and export; prints one table and the paths.

    Raises:
        UserError: `out` exists already.
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

    click.secho("1. Pre-training without labels", bold=True)
    options = {"data": "digits", "out": str(out / "pretrain")}
    settings = resolve("pretrain", "digits_pretrain", options=options)
    run = pretrain(settings, say=click.echo)

    train, test = open_source("digits", "train"), open_source("digits", "test")
    rows = [
        *_fine_tuned(settings, run, out, test),
        *_neighbours(settings, run, train, test),
    ]
    _export(out)
    click.echo(f"\n{'digits, ' + str(len(test)) + ' test images':50} accuracy")
    for name, value in rows:
        click.echo(f"{name:50} {value:8.4f}")
    picture = max(run.pictures.glob("*.png"))
    click.echo(f"\npicture     {picture}\nONNX        {out / 'classifier.onnx'}")
    click.echo(f"SavedModel  {out / 'classifier'}")


def _fine_tuned(settings, run, out, test):
    from eesmm_keras.training.evaluating import scores
    from eesmm_keras.training.finetuning import finetune
    from eesmm_keras.training.settings import resolve
    from eesmm_keras.training.weights import load_checked

    starts = {
        f"fine-tuned from pre-training ({settings.epochs} epochs)": ("pretrained", str(run.path)),
        "fine-tuned from scratch, same budget": ("scratch", "none"),
    }
    for number, (row, (name, weights)) in enumerate(starts.items(), start=2):
        click.secho(f"{number}. Fine-tuning, {name}", bold=True)
        options = {"data": "digits", "weights": weights, "out": str(out / f"finetune-{name}")}
        options["backbone"] = settings.backbone
        tuned, _ = finetune(resolve("finetune", "digits_finetune", options=options), click.echo)
        yield row, scores(load_checked(tuned.path), test)["accuracy"]


def _neighbours(settings, run, train, test):
    from eesmm_keras.training.pretraining import build_backbone
    from eesmm_keras.training.probing import probe
    from eesmm_keras.training.weights import load_backbone

    click.secho("4. Nearest neighbours on frozen features", bold=True)
    before = build_backbone(settings.backbone, settings.image_size)
    for when, backbone in (("before", before), ("after", load_backbone(run.path))):
        yield f"kNN on frozen features, {when} pre-training", probe(backbone, train, test)


def _export(out):
    from eesmm_keras.exports import export_model

    click.secho("5. Exports", bold=True)
    best = out / "finetune-pretrained" / "model.keras"
    for fmt, name in (("onnx", "classifier.onnx"), ("savedmodel", "classifier")):
        click.echo(str(export_model(best, fmt, out / name)))

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
    from eesmm_keras.exports import export_model
    from eesmm_keras.training.evaluating import scores
    from eesmm_keras.training.finetuning import finetune
    from eesmm_keras.training.pretraining import build_backbone, pretrain
    from eesmm_keras.training.probing import probe
    from eesmm_keras.training.settings import resolve
    from eesmm_keras.training.weights import load_checked

    train, test = open_source("digits", "train"), open_source("digits", "test")

    click.secho("1. Pre-training without labels", bold=True)
    options = {"data": "digits", "out": str(out / "pretrain")}
    settings = resolve("pretrain", "digits_pretrain", options=options)
    run = pretrain(settings, say=click.echo)

    results = {}
    for number, (name, weights) in enumerate((("pretrained", str(run.path)), ("scratch", "none"))):
        click.secho(f"{number + 2}. Fine-tuning, {name}", bold=True)
        options = {"data": "digits", "weights": weights, "out": str(out / f"finetune-{name}")}
        options["backbone"] = settings.backbone
        tuned, _ = finetune(resolve("finetune", "digits_finetune", options=options), click.echo)
        results[name] = scores(load_checked(tuned.path), test)["accuracy"]

    click.secho("4. Nearest neighbours on frozen features", bold=True)
    before = probe(build_backbone(settings.backbone, settings.image_size), train, test)
    after = probe(load_checked(run.path).backbone, train, test)

    click.secho("5. Exports", bold=True)
    best = out / "finetune-pretrained" / "model.keras"
    reports = [
        export_model(best, "onnx", out / "classifier.onnx"),
        export_model(best, "savedmodel", out / "classifier"),
    ]
    for report in reports:
        click.echo(str(report))

    rows = [
        (f"fine-tuned from pre-training ({settings.epochs} epochs)", results["pretrained"]),
        ("fine-tuned from scratch, same budget", results["scratch"]),
        ("kNN on frozen features, before pre-training", before),
        ("kNN on frozen features, after pre-training", after),
    ]
    click.echo(f"\n{'digits, ' + str(len(test)) + ' test images':50} accuracy")
    for name, value in rows:
        click.echo(f"{name:50} {value:8.4f}")
    picture = max(run.pictures.glob("*.png"))
    click.echo(f"\npicture     {picture}\nONNX        {out / 'classifier.onnx'}")
    click.echo(f"SavedModel  {out / 'classifier'}")

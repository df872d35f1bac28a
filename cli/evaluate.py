import click

from eesmm_keras.cli._options import data_option, source_options, where_from


@click.command("evaluate")
@data_option
@click.option("--weights", required=True, metavar="RUN|FILE")
@click.option(
    "--mode",
    type=click.Choice(["accuracy", "knn", "linear"]),
    default="accuracy",
    show_default=True,
    help="knn, linear: fitted on frozen features of the train images.",
)
@click.option("--split", type=click.Choice(["test", "val"]), default="test", show_default=True)
@click.option(
    "--neighbours",
    "k",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="For --mode knn.",
)
@source_options
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
def command(data, weights, mode, split, k, batch_size, **options):
    """Accuracy of a classifier, or of kNN or a linear probe on an encoder's frozen features."""
    from eesmm_keras.quiet import load_backend

    load_backend()
    from eesmm_keras.training.finetuning import evaluate
    from eesmm_keras.training.pretraining import bad_images_line

    value, count, source = evaluate(
        data, weights, mode, split, k, batch_size, **where_from(options)
    )
    for line in (source.note, bad_images_line(source)):
        if line:
            click.echo(line)
    name = {"accuracy": "accuracy", "knn": f"kNN accuracy (k={k})", "linear": "linear probe"}[mode]
    click.echo(f"{name} {value:.4f} on {count} images")

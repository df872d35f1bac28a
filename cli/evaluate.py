import click

from eesmm_keras.cli._families import MemberOf
from eesmm_keras.cli._options import data_option, source_options, where_from
from eesmm_keras.cli._types import PATH


@click.command("evaluate")
@data_option
@click.option(
    "--weights", type=PATH, required=True, metavar="RUN|FILE|hf://...", help="See docs/weights.md."
)
@click.option(
    "--mode",
    type=MemberOf("eesmm_keras.evaluation.probes:PROBES", others=("accuracy",)),
    default="accuracy",
    show_default=True,
    help="accuracy: what the fine-tuned model scores. Others: fitted on frozen features of the train "
    "images, with arguments if need be, such as knn:k=5.",
)
@click.option("--split", type=click.Choice(["test", "val"]), default="test", show_default=True)
@source_options
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
def command(data, weights, mode, split, batch_size, **options):
    """Score a classifier (or another fine-tuned model), or the frozen features of an encoder."""
    from eesmm_keras.quiet import load_backend

    load_backend()
    from eesmm_keras.training.bad_images import bad_images_line
    from eesmm_keras.training.evaluating import evaluate

    scores, source = evaluate(
        data, weights, mode, split, batch_size, say=click.echo, **where_from(options)
    )
    for line in (source.note, bad_images_line(source)):
        if line:
            click.echo(line)
    for name, value in scores.items():
        click.echo(f"{name} {value:.4f} on {len(source)} images")

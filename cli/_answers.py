"""What the commands share that ask a model about images."""

import click

from eesmm_keras.cli._options import source_options, tile_options
from eesmm_keras.cli._types import PATH


def asking_options(out):
    """Decorator: the options of a question about many images.

    Args:
        out: how --out is spelt in the help.
    """

    def decorate(function):
        for option in (
            click.option("--overwrite", is_flag=True, help="Replace an answer to something else."),
            click.option(
                "--batch-size", type=click.IntRange(1, 65536), default=64, show_default=True
            ),
            tile_options,
            source_options,
            click.option("--data-dir", type=PATH, metavar="DIR", help="Where TFDS data sets lie."),
            click.option("--out", type=PATH, required=True, metavar=out),
            click.option(
                "--split", type=click.Choice(["test", "val", "train"]),
                help="Of a data set. Default: its test images; all that it has where it has none.",
            ),
            click.option(
                "--images", type=PATH, required=True, metavar="DIR|FILE|DATA",
                help="A folder, with all folders below it; an image; or a data set: digits, "
                "photo-tiles or tfds:NAME[:SPLIT].",
            ),
            click.option(
                "--weights", type=PATH, required=True, metavar="RUN|FILE|FILE.onnx|hf://...",
                help="A run, a .keras or .onnx file, or public weights: eesmm docs weights.",
            ),
        ):  # fmt: skip
            function = option(function)
        return function

    return decorate


def show_answer(answer):
    """Say what became of a question."""
    for line in answer.lines():
        click.echo(line)

import click

from eesmm_keras.cli._answers import asking_options, show_answer
from eesmm_keras.cli._options import where_from


@click.command("embed")
@asking_options("E.npy|E.parquet|E.csv")
@click.option(
    "--features", type=click.Choice(["pooled", "stages", "patches"]), default="pooled",
    show_default=True,
    help="One vector an image; the means of every stage, behind each other; or the last feature map.",
)  # fmt: skip
@click.option(
    "--precision", type=click.Choice(["float32", "float16"]), default="float32", show_default=True,
    help="Of the numbers in the file.",
)  # fmt: skip
def command(weights, images, out, features, precision, batch_size, overwrite, **options):
    """Turn any number of images into vectors: the features of an encoder.

    \b
    eesmm embed --weights runs/photos --images photos/ --out photos.npy
    eesmm neighbours photos.npy --query one.jpg

    The names of a .npy are in OUT.names.csv, row by row. Stopped anywhere, the same command goes on, to
    the same file. Images that cannot be read are listed in OUT.bad.csv.
    """
    from eesmm_keras.quiet import load_backend
    from eesmm_keras.training.beforehand import check_places

    check_places(images=images, weights=weights)
    load_backend()
    from eesmm_keras.answers.embedding import embed

    show_answer(
        embed(weights, images, out, features, precision, batch_size, overwrite, click.echo,
              **where_from(options))
    )  # fmt: skip

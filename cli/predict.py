import click

from eesmm_keras.cli._answers import asking_options, show_answer
from eesmm_keras.cli._options import where_from


@click.command("predict")
@asking_options("predictions.csv")
@click.option(
    "--top", type=click.IntRange(min=1), default=1, show_default=True, metavar="K",
    help="Classes of each image, the most probable first.",
)  # fmt: skip
def command(weights, images, out, top, batch_size, overwrite, **options):
    """Classify any number of images, or all their pixels: file, class, probability; or masks.

    \b
    eesmm predict --weights runs/classifier --images photos/ --out predictions.csv --top 5
    eesmm predict --weights classifier.onnx --images photos/ --out predictions.csv

    A segmenter gives the mask of every image as a PNG in OUT.masks, the shares of the classes in OUT,
    and a picture, OUT.png.

    Stopped anywhere, the same command goes on, to the same file. Images that cannot be read are listed
    in OUT.bad.csv.
    """
    from eesmm_keras.quiet import load_backend

    load_backend()
    from eesmm_keras.answers.predicting import predict

    show_answer(
        predict(weights, images, out, top, batch_size, overwrite, click.echo, **where_from(options))
    )

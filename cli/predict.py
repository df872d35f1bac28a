import click

from eesmm_keras.cli._answers import asking_options, show_answer
from eesmm_keras.cli._options import where_from


@click.command("predict")
@asking_options("predictions.csv")
@click.option(
    "--top", type=click.IntRange(min=1), default=1, show_default=True, metavar="K",
    help="Classes of each image, the most probable first.",
)  # fmt: skip
@click.option(
    "--min-score", type=click.FloatRange(0, 1), metavar="P",
    help="Of a detector: the least probability of a box. Default: 0.3.",
)  # fmt: skip
def command(weights, images, out, top, batch_size, overwrite, min_score, **options):
    """Classify any number of images, or all their pixels: file, class, probability; masks; or boxes.

    \b
    eesmm predict --weights runs/classifier --images photos/ --out predictions.csv --top 5
    eesmm predict --weights classifier.onnx --images photos/ --out predictions.csv

    A segmenter gives the mask of every image as a PNG in OUT.masks, the shares of the classes in OUT,
    and a picture, OUT.png. A detector gives a row for each box (file, class, score, and x0, y0, x1, y1
    in pixels of the image), one with the file alone where there is none, and OUT.png.

    Stopped anywhere, the same command goes on, to the same file. Images that cannot be read are listed
    in OUT.bad.csv.
    """
    from eesmm_keras.quiet import load_backend
    from eesmm_keras.training.beforehand import check_places

    check_places(images=images, weights=weights)
    load_backend()
    from eesmm_keras.answers.predicting import predict

    where = where_from(options)
    show_answer(
        predict(weights, images, out, top, batch_size, overwrite, click.echo, min_score, **where)
    )

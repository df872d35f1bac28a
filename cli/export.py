import os

import click

from eesmm_keras.cli._families import MemberOf
from eesmm_keras.cli._options import source_options, where_from
from eesmm_keras.cli._types import PATH


@click.command("export")
@click.option(
    "--weights",
    type=PATH,
    required=True,
    metavar="RUN|FILE|hf://...",
    help="See eesmm docs weights.",
)
@click.option(
    "--format", "fmt", type=MemberOf("eesmm_keras.exports.formats:FORMATS"), required=True
)
@click.option(
    "--out", type=PATH, required=True, metavar="PATH", help="The file or folder to write."
)
@click.option(
    "--no-preprocessing",
    is_flag=True,
    help="Input is float32 that is normalised already, not uint8 RGB.",
)
@click.option("--features", is_flag=True, help="The encoder alone: pooled vector and pyramid.")
@click.option("--resize", is_flag=True, help="Take images of any size, resize inside the graph.")
@click.option(
    "--precision", type=click.Choice(["float32", "float16"]), default="float32", show_default=True
)
@click.option(
    "--quantize",
    type=click.Choice(["int8"]),
    help="Matrix products in whole numbers, calibrated and judged on --data; see eesmm docs exports.",
)
@click.option(
    "--data",
    type=PATH,
    metavar="DATA",
    help="Real images to compare on. Default: two photographs. float16 and int8 are judged on those of "
    "its test part.",
)
@click.option(
    "--calibration-images",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    help="Images of the train part of --data from which int8 takes the ranges of activations.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="Points of accuracy that float16 or int8 may lose on labelled --data.",
)
@click.option("--data-dir", type=PATH, metavar="DIR", help="Where TFDS data sets lie.")
@source_options
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
def command(
    weights, fmt, out, no_preprocessing, features, resize, precision, quantize, data,
    calibration_images, max_drop, overwrite, **options,
):  # fmt: skip
    """Export to a file that needs neither Keras nor this package, and prove that it is right.

    The file is run in a clean process and compared with Keras on batches of 1 and 5; the largest
    difference goes to parity.json. Above 1e-3 on logits the command fails. Files of a lower precision
    are judged by what they answer. README.md, the model card, says where the model came from and how
    it is used; eesmm push takes both along.
    """  # fmt: skip
    if quantize and precision != "float32":
        raise click.UsageError("Give --precision or --quantize, not both.")
    # Weights are the same on all backends, and exporting works on this one.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from eesmm_keras.quiet import load_backend
    from eesmm_keras.training.beforehand import check_places

    check_places(data, weights=weights)
    load_backend()
    from eesmm_keras.exports import export_model
    from eesmm_keras.training.weights import as_keras_file

    precision, where = quantize or precision, where_from(options)
    with as_keras_file(weights, say=click.echo) as source:
        reduction = samples = None
        if data or precision != "float32":
            from eesmm_keras.exports.proof_images import reduction_of, sample_images
            from eesmm_keras.exports.source import load_source

            source = load_source(source)
            samples = sample_images(source, data, **where) if data else None
        if precision != "float32":
            reduction = reduction_of(
                source, data, precision, features=features, calibration=calibration_images,
                max_drop=max_drop, **where,
            )  # fmt: skip
        report = export_model(
            source, fmt, out, preprocessing=not no_preprocessing, features=features, resize=resize,
            sample_images=samples, overwrite=overwrite, origin=weights, reduction=reduction,
        )  # fmt: skip
    click.echo(str(report))

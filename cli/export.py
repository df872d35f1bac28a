import os

import click

from eesmm_keras.cli._families import MemberOf
from eesmm_keras.cli._options import source_options, where_from
from eesmm_keras.cli._types import PATH


@click.command("export")
@click.option(
    "--weights", type=PATH, required=True, metavar="RUN|FILE|hf://...", help="See docs/weights.md."
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
    "--data", type=PATH, metavar="DATA", help="Real images to compare on. Default: two photographs."
)
@click.option("--data-dir", type=PATH, metavar="DIR", help="Where TFDS data sets lie.")
@source_options
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
def command(weights, fmt, out, no_preprocessing, features, resize, data, overwrite, **options):
    """Export to a file that needs neither Keras nor this package, and prove that it is right.

    The file is run in a clean process and compared with Keras on batches of 1 and 5; the largest
    difference goes to parity.json. Above 1e-3 on logits the command fails. README.md, the model card,
    says where the model came from and how it is used; eesmm push takes both along.
    """  # fmt: skip
    # Weights are the same on all backends, and exporting works on this one.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from eesmm_keras.quiet import load_backend

    load_backend()
    from eesmm_keras.exports import export_model
    from eesmm_keras.training.weights import as_keras_file

    with as_keras_file(weights, say=click.echo) as path:
        samples = _samples(path, data, where_from(options)) if data else None
        report = export_model(
            path, fmt, out, preprocessing=not no_preprocessing, features=features, resize=resize,
            sample_images=samples, overwrite=overwrite, origin=weights,
        )  # fmt: skip
    click.echo(str(report))


def _samples(path, data, where):
    from eesmm_keras.data.pipeline import load_arrays
    from eesmm_keras.data.sources import open_source
    from eesmm_keras.training.inputs import reading_of
    from eesmm_keras.training.weights import load_backbone

    backbone = load_backbone(path)
    source = open_source(data, **where, reading=reading_of(backbone))
    images, _ = load_arrays(source, backbone.image_shape[:2], limit=16)
    return images

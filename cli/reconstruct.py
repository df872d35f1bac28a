from pathlib import Path

import click

from eesmm_keras.cli._options import source_options, where_from
from eesmm_keras.cli._types import PATH


@click.command("reconstruct")
@click.option("--weights", type=PATH, required=True, metavar="RUN|FILE")
@click.option(
    "--images", type=PATH, required=True, metavar="DIR|FILE", help="A folder of images, or one."
)
@click.option("--out", type=PATH, required=True, metavar="FILE.png")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Images taken from a folder.",
)
@source_options
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Of the mask.",
)
def command(weights, images, out, count, seed, **options):
    """Picture of what a pre-trained model rebuilds: originals, mix, mask, reconstructions."""
    from eesmm_keras.errors import UserError
    from eesmm_keras.quiet import load_backend
    from eesmm_keras.training.beforehand import check_places

    if Path(out).suffix.lower() != ".png":
        raise UserError(f"--out must name a .png file, got {out}.")
    check_places(images=images, weights=weights)
    load_backend()
    from eesmm_keras.methods.method import MaskedImageModel
    from eesmm_keras.pictures import save_grid
    from eesmm_keras.training.inputs import reading_of
    from eesmm_keras.training.weights import load_checked

    model = load_checked(weights)
    if not isinstance(model, MaskedImageModel):
        raise UserError(f"{weights} is no pre-training model but a {type(model).__name__}.")
    where = {**where_from(options), "reading": reading_of(model.backbone)}
    size = model.backbone.image_shape[:2]
    pixels = _pixels(images, size, count, model.images_per_sample, where)
    try:
        save_grid(model.reconstruct(pixels, seed=seed), out)
    except OSError as error:
        raise UserError(f"Cannot write {out}: {error.strerror}.") from error
    click.echo(out)


def _pixels(images, size, count, group, where):
    """`(B, H, W, C)`; one image, or too few for a mix, is repeated upside down."""
    import numpy as np

    from eesmm_keras.data.pipeline import load_arrays
    from eesmm_keras.data.sources import open_source
    from eesmm_keras.data.stream import open_files

    if Path(images).is_file():
        pixels, _ = load_arrays(open_files(images, **where)[0], size)
    else:
        pixels, _ = load_arrays(open_source(images, **where), size, limit=max(count, group))
    if len(pixels) < group:
        flips = [pixels, pixels[:, :, ::-1], pixels[:, ::-1], pixels[:, ::-1, ::-1]]
        pixels = np.concatenate(flips)[:group]
    return pixels[: max(group, len(pixels) // group * group)]

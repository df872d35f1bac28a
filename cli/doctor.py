import click

from eesmm_keras.cli._options import settings_from, training_options
from eesmm_keras.cli._types import PATH
from eesmm_keras.training.settings import PretrainSettings

_OPTIONS = (
    "data", "data_dir", "method", "backbone", "image_size", "batch_size", "precision", "out",
    "max_image_pixels", "follow_links", "channels", "bands", "pixels", "tile", "init_from",
)  # fmt: skip


@click.command("doctor")
@training_options(PretrainSettings, only=_OPTIONS, required=("data",))
@click.option("--trial/--no-trial", default=True, show_default=True, help="Try training steps.")
@click.option("--thorough", is_flag=True, help="Decode every image.")
@click.option("--list", "bad_list", type=PATH, metavar="FILE", help="Write all bad images there.")
@click.option(
    "--write-stats",
    type=PATH,
    metavar="FILE",
    help="Measure the pixels, for --stats FILE of a run.",
)
@click.option(
    "--ends",
    type=click.Choice(["range", "percentiles"]),
    default="range",
    show_default=True,
    help="Which native values are to be 0 and 255: the smallest and largest, or the 0.1 and 99.9 %.",
)
def command(trial, thorough, bad_list, write_stats, ends, recipe, assignments, **options):
    """Look at images, and at a pre-training on this machine, before it begins.

    \b
    eesmm doctor --data photos/ --backbone swin_tiny --batch-size 64
    eesmm doctor --data photos/ --no-trial --thorough --list bad.txt
    eesmm doctor --data scenes/ --no-trial --bands 4,3,2 --write-stats stats.yaml

    Counts, sizes, channels, classes, bad and doubly named files; speed of decoding and of training,
    the largest batch that fits, time of an epoch, space for checkpoints.
    """
    settings = settings_from("pretrain", recipe, assignments, begins=False, **options)
    from eesmm_keras.studies.doctor.report import doctor

    doctor(
        settings, trial=trial, thorough=thorough, bad_list=bad_list, stats_file=write_stats, ends=ends,
        say=click.echo,
    )  # fmt: skip

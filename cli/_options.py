"""Options that several commands share."""

import re

import click

DATA_HELP = (
    "digits (bundled with scikit-learn), a folder of class folders (with or without train/ val/ "
    "test/), a flat folder of images, or tfds:NAME[:SPLIT]."
)


SOURCE_KEYS = ("data_dir", "max_image_pixels", "follow_links")


def names_callback(context, parameter, value):
    """`a, b:weights=[1, 2]` -> `("a", "b:weights=[1, 2]")`, as a click callback."""
    parts = re.split(r",(?![^\[]*\])", value)
    return tuple(part.strip() for part in parts if part.strip())


def data_option(function):
    function = click.option("--data-dir", help="Where TFDS data sets lie.")(function)
    return click.option("--data", required=True, metavar="DATA", help=DATA_HELP)(function)


def training_options(function):
    """Options of pretrain and finetune. Their defaults stand in the settings, or in a recipe."""
    options = [
        click.option("--out", required=True, metavar="RUN",
                     help="The run's folder; an unfinished run in it goes on."),
        click.option("--recipe", metavar="NAME|FILE", help="Settings to start from."),
        click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE",
                     help="Any setting, or argument of the method; can be repeated."),
        click.option("--backbone", metavar="NAME[:KEY=VALUE]", help="See eesmm list backbones."),
        click.option("--image-size", type=int, metavar="N", help="Pixels; default: the encoder's."),
        click.option("--epochs", type=int, metavar="N"),
        click.option("--batch-size", type=int, metavar="N", help="Images a step."),
        click.option("--accumulate", type=int, metavar="N", help="Steps an update."),
        click.option("--steps-per-epoch", type=int, metavar="N", help="Default: all images once."),
        click.option("--min-coverage", type=click.FloatRange(0, 1), metavar="SHARE",
                     help="Of the encoder's numbers that starting weights must hold. Default: 0.95."),
        click.option("--gpus", type=int, metavar="N", help="Default: the backend's own device."),
        click.option("--devices", metavar="cpu:N|gpu:N", help="Devices of each host."),
        click.option("--coordinator", metavar="HOST:PORT|slurm",
                     help="Several hosts: where the first one listens; see docs/scaling.md."),
        click.option("--num-hosts", type=int, metavar="N", help="Processes that train together."),
        click.option("--host-index", type=int, metavar="I", help="Which one this is, from 0."),
        click.option("--precision", metavar="P",
                     help="float32, mixed_bfloat16 or mixed_float16."),
        click.option("--seed", type=int, metavar="N"),
        click.option("--checkpoint-every", metavar="N|'M minutes'",
                     help="Steps, minutes or epochs. Default: 10 minutes."),
        click.option("--max-bad-steps", type=int, metavar="N",
                     help="Skipped steps in a row before going back. Default: 10."),
        click.option("--max-bad-images", type=int, metavar="N",
                     help="Images that may be unreadable. Default: 1 %, and at least 100."),
    ]  # fmt: skip
    function = source_options(function)
    for option in reversed(options):
        function = option(function)
    return function


def source_options(function):
    """Options of every command that reads a folder which need not be trusted."""
    options = [
        click.option("--max-image-pixels", type=click.IntRange(min=1), metavar="N",
                     help="Larger pictures are bad images. Default: Pillow's, 89 million."),
        click.option("--follow-links/--no-follow-links", default=None,
                     help="Follow links that lead out of the data folder. Default: no."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def where_from(options):
    """The arguments of `open_source` that were given on the command line."""
    return {key: options[key] for key in SOURCE_KEYS if options.get(key) is not None}


def settings_from(kind, recipe, assignments, **options):
    """Settings from the options that were given on the command line."""
    from eesmm_keras.quiet import load_backend

    load_backend()
    from eesmm_keras.training.settings import resolve

    given = {key: value for key, value in options.items() if value is not None}
    return resolve(kind, recipe, assignments, given)

import click

from eesmm_keras.cli._options import (
    SOURCE_KEYS,
    data_option,
    names_callback,
    setting_options,
    source_options,
    where_from,
)
from eesmm_keras.cli._report import leave_report
from eesmm_keras.training.settings.fields import PretrainSettings


def _settings(context, parameter, value):
    from eesmm_keras.names import parse_yaml

    settings = {}
    for item in value:
        key, separator, text = item.partition("=")
        if not separator:
            raise click.BadParameter(f"expected key=value, got {item!r}")
        settings[key.strip()] = parse_yaml(text, f"The value of {item}")
    return settings


@click.command("compare")
@data_option
@click.option("--methods", required=True, callback=names_callback, metavar="NAME[:KEY=VALUE],...")
@click.option("--backbone", required=True, metavar="NAME[:KEY=VALUE]")
@click.option(
    "--budget",
    required=True,
    metavar="KIND=N,...",
    help="Of pre-training: gmacs=N (forward products, in 1e9), images=N, epochs=N or minutes=N; "
    "several of one kind make a curve.",
)
@click.option("--seeds", default="3", show_default=True, metavar="N|SEED,...")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@setting_options(PretrainSettings, only=("image_size",))
@click.option("--limit", type=click.IntRange(min=1), help="Training images used.")
@click.option(
    "--probe-limit",
    type=click.IntRange(min=1),
    help="Images of the train and the test part in probes and tests.",
)
@click.option(
    "--labels",
    default="0.01,0.1",
    show_default=True,
    metavar="N/class|SHARE,...",
    help="To fine-tune on, drawn anew for each seed: images of every class (5/class) or shares of "
    'them (0.1); "" for none.',
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    callback=_settings,
    metavar="KEY=VALUE",
    help="Setting of every pre-training; can be repeated.",
)
@click.option(
    "--finetune-set",
    "finetune_settings",
    multiple=True,
    callback=_settings,
    metavar="KEY=VALUE",
    help="Setting of every fine-tuning; can be repeated.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Cells side by side, each on its part of the processor cores.",
)
@click.option(
    "--evidence",
    "evidence_folders",
    multiple=True,
    metavar="DIR",
    help="Folder of finished cells, taken instead of run where all settings agree; can be repeated.",
)
@source_options
@click.option("--out", required=True, metavar="DIR")
def command(**options):
    """Compare methods: same data, encoder, budget and augmentation.

    \b
    eesmm compare --data cifar10/ --methods eesmm,simmim --backbone swin_mini_32 \\
        --budget epochs=20 --seeds 3 --out runs/compare
    eesmm compare ... --methods eesmm,greenmim:mask_ratio=0.875 --budget gmacs=400,gmacs=800 \\
        --labels 5/class,50/class --seeds 0,1,2 --jobs 2

    kNN, linear probes of the last and of all stages, and fine-tuning on few labels, for each seed,
    beside random weights ("none"). The table gives means, deviations and the paired difference to
    the first method with its 95 % interval. The same command again goes on where it stopped.
    """
    from eesmm_keras.comparison.compare import compare

    where = where_from(options)
    options = {key: value for key, value in options.items() if key not in SOURCE_KEYS}
    compare(say=click.echo, where=where, **options)
    leave_report(options["out"])

import click

from eesmm_keras.cli._options import (
    SOURCE_KEYS,
    data_option,
    names_callback,
    source_options,
    where_from,
)


def _shares(context, parameter, value):
    try:
        shares = tuple(float(part) for part in value.split(",") if part.strip())
    except ValueError as error:
        raise click.BadParameter("expected numbers such as 0.01,0.1") from error
    if any(not 0 < share <= 1 for share in shares):
        raise click.BadParameter("shares must lie in (0, 1]")
    return shares


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
@click.option("--budget", required=True, metavar="epochs=N|minutes=M", help="Of pre-training.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--image-size", type=click.IntRange(min=1), help="Default: the encoder's.")
@click.option("--limit", type=click.IntRange(min=1), help="Training images used.")
@click.option(
    "--probe-limit",
    type=click.IntRange(min=1),
    help="Images of the train and the test part in probes and tests.",
)
@click.option(
    "--labels",
    "label_shares",
    default="0.01,0.1",
    show_default=True,
    callback=_shares,
    metavar="SHARE,...",
    help="Shares of the labels to fine-tune on.",
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
@source_options
@click.option("--out", required=True, metavar="DIR")
def command(**options):
    """Compare methods: same data, encoder, budget and augmentation.

    \b
    eesmm compare --data cifar10/ --methods eesmm,simmim --backbone swin_mini_32 \\
        --budget epochs=20 --seeds 3 --out runs/compare
    eesmm compare ... --methods eesmm,eesmm:num_mixed=3,greenmim --budget minutes=5

    kNN, linear probe and fine-tuning on few labels, for each seed, beside random weights ("none").
    The same command again goes on where it stopped.
    """
    from eesmm_keras.comparison.compare import compare

    where = where_from(options)
    options = {key: value for key, value in options.items() if key not in SOURCE_KEYS}
    compare(say=click.echo, where=where, **options)

import click

from eesmm_keras.cli._options import data_option, source_options, where_from
from eesmm_keras.cli._types import PATH


@click.command("prepare")
@data_option
@click.option(
    "--size", type=click.IntRange(16, 8192), default=256, show_default=True, metavar="PIXELS",
    help="The shorter side of a picture; smaller ones stay as they are.",
)  # fmt: skip
@click.option("--raw", is_flag=True, help="Pixels instead of JPEG: larger, faster to read.")
@click.option(
    "--quality", type=click.IntRange(1, 95), default=90, show_default=True, help="Of JPEG."
)
@click.option(
    "--images-per-shard",
    "per_shard",
    type=click.IntRange(1, 10**6),
    default=2048,
    show_default=True,
)
@source_options
@click.option("--out", type=PATH, required=True, metavar="DIR", help="--data DIR reads it then.")
def command(data, out, size, raw, quality, per_shard, **options):
    """Make images small once: TFRecord shards, from which training reads faster.

    \b
    eesmm prepare --data photos/ --out shards/ --size 256
    eesmm pretrain --data shards/ --out runs/photos

    The same images stand at the same steps of a run. Stopped anywhere, the same command goes on.
    """
    from eesmm_keras.quiet import load_backend
    from eesmm_keras.training.beforehand import check_places

    check_places(data)
    load_backend()
    from eesmm_keras.data.preparing import prepare
    from eesmm_keras.names import counted

    index = prepare(data, out, size, raw, quality, per_shard, click.echo, **where_from(options))
    shards = sum(len(names) for names in index["parts"].values())
    click.echo(f"{out}: {counted(index['images'], 'image')} in {counted(shards, 'shard')}")

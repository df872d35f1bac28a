import click

from eesmm_keras.cli._options import data_option, source_options, where_from
from eesmm_keras.cli._report import leave_report
from eesmm_keras.cli._types import PATH


@click.command("reproduce")
@click.argument("table", metavar="TABLE")
@data_option
@click.option(
    "--scale", type=click.Choice(["proxy", "full"]), default="proxy", show_default=True,
    help="proxy: run it on a small encoder. full: print the commands of the published setup.",
)  # fmt: skip
@click.option("--budget", metavar="KIND=N,...", help="Of eesmm compare. Default: the table's.")
@click.option("--seeds", default="3", show_default=True, metavar="N|SEED,...")
@click.option("--limit", type=click.IntRange(min=1), help="Training images used.")
@click.option(
    "--probe-limit", type=click.IntRange(min=1), default=10000, show_default=True,
    help="Images of the train and the test part in probes and tests.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True,
    help="Cells side by side, each on its part of the processor cores.",
)  # fmt: skip
@click.option(
    "--evidence", "evidence_folders", type=PATH, multiple=True, metavar="DIR",
    help="Folder of finished cells, taken instead of run where all settings agree.",
)  # fmt: skip
@click.option(
    "--teraflops", type=click.FloatRange(min=0, min_open=True), default=100.0, show_default=True,
    help="For full: 1e12 operations a second that a GPU is assumed to give.",
)  # fmt: skip
@source_options
@click.option("--out", type=PATH, required=True, metavar="DIR")
def command(table, scale, teraflops, data, out, **options):
    """A published table again: at small scale, or as the commands of the full one.

    \b
    eesmm list tables
    eesmm reproduce eesmm_table1 --data images/ --out runs/table1
    eesmm reproduce eesmm_figure4_mask_ratio --data images/ --seeds 0,1,2 --out runs/figure4
    eesmm reproduce eesmm_table1 --scale full --data imagenet/ --out runs/table1

    The published figures stand beside those that are measured, marked as such, in OUT/table.md.
    """
    from eesmm_keras.quiet import load_backend
    from eesmm_keras.reproductions.proxy import check

    check(table, data, options["budget"], options["seeds"])
    load_backend()
    if scale == "full":
        from eesmm_keras.reproductions.full import commands

        for line in commands(table, data, out, teraflops=teraflops):
            click.echo(line)
        return
    from eesmm_keras.reproductions.proxy import reproduce

    keys = ("budget", "seeds", "limit", "probe_limit", "jobs", "evidence_folders")
    where, chosen = where_from(options), {key: options[key] for key in keys}
    click.echo(reproduce(table, data, out, where=where, say=lambda line: None, **chosen))
    leave_report(out)

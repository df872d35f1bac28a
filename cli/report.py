import click

from eesmm_keras.cli._types import PATH


@click.command("report")
@click.argument("run", type=PATH, metavar="RUN|DIR")
def command(run):
    """One page about a run: curves, reconstructions, data, evaluation, settings. RUN/report.html.

    Or about a folder of eesmm compare: what is best, by how much, picture and table.

    Every run that finishes writes it; this writes it anew, after eesmm evaluate --out RUN/evaluation
    say, or while the run is on.
    """
    from eesmm_keras.quiet import load_backend

    load_backend()
    from eesmm_keras.reports.report import write_report

    click.echo(write_report(run))

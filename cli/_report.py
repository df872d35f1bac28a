"""The page that a finished run or comparison leaves."""

import click


def leave_report(path):
    """Write report.html there; a page that cannot be written is no reason to fail."""
    from eesmm_keras.reports.report import write_report

    try:
        click.echo(f"Report      {write_report(path)}")
    except Exception as error:
        click.echo(f"The report could not be written ({error}): eesmm report {path}", err=True)

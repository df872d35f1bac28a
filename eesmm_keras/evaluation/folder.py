"""What an evaluation found, as a folder of files."""

import csv
import io
import json
from pathlib import Path

from eesmm_keras.errors import UserError
from eesmm_keras.whole_files import write_atomically

METRICS = "metrics.json"


def check_folder(folder):
    """A path that findings can be written to: a new or empty folder, or an earlier evaluation's.

    Raises:
        UserError: it is something else.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file. --out must name a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / METRICS).is_file():
        raise UserError(f"{folder} is not empty, and no earlier evaluation. Choose another --out.")
    return folder


def write_findings(folder, findings, facts, pictures=None):
    """Write metrics.json, tables and figures; each file whole or not at all, metrics.json last.

    Args:
        folder: of `check_folder`. findings: `Findings`.
        facts: dict of plain values that tell what was evaluated.
        pictures: `{file name: function}` beside the findings' own figures; with nothing for a
            function, such a file of an earlier evaluation is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in findings.tables().items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        _write(folder / name, text.getvalue().encode("utf-8", "surrogateescape"))
    for name, draw in {**findings.figures(), **(pictures or {})}.items():
        if not draw:
            (folder / name).unlink(missing_ok=True)
            continue
        write_atomically(folder / name, draw)
    write_metrics(folder, {**facts, **findings.numbers()})


def write_metrics(folder, numbers):
    """Write metrics.json, whole or not at all; the folder is there."""
    _write(folder / METRICS, json.dumps(numbers, indent=1).encode())


def _write(path, data):
    write_atomically(path, lambda file: file.write(data))

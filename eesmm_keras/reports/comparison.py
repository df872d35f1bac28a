"""A folder of `eesmm compare` as one page."""

import json
from pathlib import Path

from eesmm_keras.comparison.cell import NOTHING
from eesmm_keras.comparison.compare import budget_text
from eesmm_keras.comparison.evidence import read_cells
from eesmm_keras.comparison.picture import title_of
from eesmm_keras.comparison.table import accuracy_text, measures_of, read_csv
from eesmm_keras.errors import UserError
from eesmm_keras.names import shortened
from eesmm_keras.reports import html

RESULTS = "results.csv"
_DATA = ("classes", "train_images", "test_images")
_COSTS = ("images_seen", "views_seen", "gmacs", "seconds")
_INTRODUCTION = (
    "Accuracies in per cent: mean ± deviation between seeds, then the paired difference to {first} "
    "with its 95 % interval (Student's t over the seeds). GMACs are forward products of encoder and "
    "decoder, all views counted."
)


def comparison_page(folder):
    """HTML of the page, from results.csv, accuracy.png and the cells that lie in the folder.

    Args:
        folder: that `eesmm compare` wrote.

    Raises:
        UserError: its results.csv is damaged.
    """
    folder = Path(folder)
    name = folder.resolve().name
    try:
        rows = read_csv(folder / RESULTS)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{folder / RESULTS} cannot be read ({shortened(error)}): the command of eesmm compare, "
            "given again, writes it anew."
        ) from error
    trained = [row["method"] for row in rows if row["method"] != NOTHING]
    first = trained[0] if trained else NOTHING
    parts = [
        f"<h1>Comparison: {html.text(name)}</h1>",
        html.paragraph(_INTRODUCTION.format(first=first), "quiet"),
        _facts(folder),
        html.section("In short", *_in_short(rows, first)),
        html.section(
            "Accuracy against compute", html.picture(folder / "accuracy.png", "", wide=True)
        ),
        html.section("Table", _table(rows)),
        html.section("Settings", *_settings(folder)),
    ]
    return html.page(f"{name}: comparison", "\n".join(part for part in parts if part))


def _facts(folder):
    """What all cells of the folder share; another comparison may have left some there."""
    cells = [cell["settings"] for cell in _cells(folder)]
    facts = [
        {
            "encoder": cell.get("backbone", ""),
            "images per step": cell.get("batch_size", ""),
            **{name.replace("_", " "): (cell.get("data") or {}).get(name, "") for name in _DATA},
        }
        for cell in cells
    ]
    shared = facts[0] if facts else {}
    shared = {key: value for key, value in shared.items() if all(f[key] == value for f in facts)}
    seeds = sorted({cell["seed"] for cell in cells})
    return html.tiles({**shared, "seeds": ", ".join(map(str, seeds))}) if cells else ""


def _in_short(rows, first):
    """For every measure the best row, and what is known of its lead."""
    for measure in measures_of(rows):
        # Cells that were taken from elsewhere may have been asked for more than the others.
        known = [row for row in rows if row[measure] is not None]
        if len(known) < min(2, len(rows)):
            continue
        best = max(known, key=lambda row: row[measure])
        text = f"{title_of(measure)}: {_named(best)} best, {accuracy_text(best, measure)} %"
        if best["budget"]:
            text += f" ({best['budget']})"
        if best["method"] in (first, NOTHING):
            yield html.paragraph(f"{text}.")
            continue
        low = best.get(f"{measure}_low")
        if low is None:
            lead = "too few seeds for an interval"
        else:
            lead = "beyond the noise of the seeds" if low > 0 else "within the noise of the seeds"
        yield html.paragraph(f"{text}; its lead over {first}: {lead}.")


def _named(row):
    return "random weights are" if row["method"] == NOTHING else f"{row['method']} is"


def _table(rows):
    measures = measures_of(rows)
    costs = [key for key in _COSTS if any(row.get(key) for row in rows)]
    header = ("method", "budget", "seeds", *(key.replace("_", " ") for key in costs),
              *map(title_of, measures))  # fmt: skip
    cells = [
        [row["method"], row["budget"], int(row["seeds"]), *(round(row[key]) for key in costs),
         *(accuracy_text(row, measure) for measure in measures)]
        for row in rows
    ]  # fmt: skip
    return html.table(header, cells)


def _settings(folder):
    for cell in _cells(folder):
        settings = cell["settings"]
        budget = settings.get("budget")
        words = [settings["method"], budget and budget_text(budget), f"seed {settings['seed']}"]
        yield html.folded(
            ", ".join(filter(None, words)), html.command(json.dumps(settings, indent=1))
        )


def _cells(folder):
    return read_cells(folder / "cells") if (folder / "cells").is_dir() else []

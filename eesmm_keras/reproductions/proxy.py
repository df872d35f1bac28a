"""A published table at small scale: its methods through `compare`, published figures beside ours."""

from pathlib import Path

from eesmm_keras.comparison import specs
from eesmm_keras.comparison.cell import NOTHING
from eesmm_keras.comparison.compare import compare
from eesmm_keras.comparison.picture import title_of
from eesmm_keras.comparison.table import accuracy_text, measures_of
from eesmm_keras.reproductions.tables import read_table
from eesmm_keras.training.beforehand import check_places

_COSTS = {
    "images_seen": "images seen", "gmacs": "GMACs", "seconds": "seconds", "images_per_s": "images/s",
}  # fmt: skip


def check(name, data, budget, seeds):
    """Check what shows before Keras is imported. Args, Raises: see `reproduce`."""
    read_table(name)
    check_places(data)
    specs.parse_seeds(seeds)
    if budget:
        specs.parse_budgets(budget)


def reproduce(name, data, out, budget=None, seeds="3", say=print, **options):
    """Run the proxy of a published table, and write OUT/table.md beside what `compare` writes.

    Args:
        name: of `tables.table_names`.
        data: labelled images, see `compare`. out: folder.
        budget: of `compare`; None: the table's. seeds: of `compare`.
        options: probe_limit, jobs, evidence_folders, where, limit: of `compare`.

    Returns:
        text of table.md.

    Raises:
        UserError: no such table; or see `compare`.
    """
    table = read_table(name)
    rows = compare(
        out, data, list(table.methods()), table.backbone, budget or table.budget, seeds=seeds,
        batch_size=table.batch_size, labels=table.labels, settings=table.settings, say=say, **options,
    )  # fmt: skip
    text = markdown(table, rows)
    (Path(out) / "table.md").write_text(text, encoding="utf-8")
    return text


def markdown(table, rows):
    """Published cells beside measured ones.

    Args:
        table: `Table`. rows: of `compare`.
    """
    measures = measures_of(rows)
    costs = [key for key in _COSTS if any(row.get(key) for row in rows)]
    head = [
        "row", *(f"{column} (published)" for column in table.columns), "method here", "budget",
        *(_COSTS[key] for key in costs), *map(title_of, measures),
    ]  # fmt: skip
    lines = [head, ["---"] * len(head)]
    ours = table.methods()
    names = {row: name for name, row in ours.items()}
    for published in table.rows:
        cells = [
            published.name,
            *("" if cell is None else str(cell) for cell in published.published),
        ]
        found = [row for row in rows if row["method"] == names.get(published)]
        for row in found:
            lines.append([*cells, *_measured(row, costs, measures)])
        if not found:
            lines.append([*cells, "-", *[""] * (1 + len(costs) + len(measures))])
    for row in rows:
        if row["method"] == NOTHING:
            blank = [""] * len(table.columns)
            lines.append(["random weights", *blank, *_measured(row, costs, measures)])
    shown = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return (
        f"# {table.title}\n\nPublished columns: {table.setup}; copied from the paper, not run here. "
        f"The others were measured: {table.backbone}, the same images, settings and budget for all. "
        "Accuracies in per cent: mean ± deviation between seeds, then the difference to the first "
        "method with its 95 % interval.\n\n"
        f"{shown}\n"
    )


def _measured(row, costs, measures):
    numbers = (f"{row[key]:,.0f}" for key in costs)
    return [row["method"], row["budget"], *numbers, *(accuracy_text(row, key) for key in measures)]

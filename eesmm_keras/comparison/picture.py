"""Accuracy against compute: a panel a measure, a line a method over its budgets."""

from eesmm_keras.comparison.cell import NOTHING
from eesmm_keras.comparison.table import measures_of

_TITLES = {
    "knn": "kNN, last stage",
    "linear": "linear probe, last stage",
    "linear_stages": "linear probe, all stages",
}
_WIDTH, _HEIGHT = 4.0, 3.6


def title_of(measure):
    """A measure in words: `finetune_5/class` is "fine-tuned, 5/class"."""
    return _TITLES.get(measure, measure.replace("finetune_", "fine-tuned, labels: "))


def draw(rows, path):
    """Write the picture; whiskers are deviations between seeds, the dashed line random weights.

    Args:
        rows: of `table.summary`.
        path: of a PNG file.
    """
    from matplotlib.figure import Figure

    measures = measures_of(rows)
    methods = list(dict.fromkeys(row["method"] for row in rows if row["method"] != NOTHING))
    lines = 1 + len(methods)
    figure = Figure(figsize=(_WIDTH * len(measures), _HEIGHT + 0.2 * lines), layout="constrained")
    axes = figure.subplots(1, len(measures), squeeze=False)[0]
    for axis, measure in zip(axes, measures, strict=True):
        for row in rows:
            if row["method"] == NOTHING:
                axis.axhline(100 * row[measure], color="0.5", linestyle="--", label=NOTHING)
        for number, method in enumerate(methods):
            _line(axis, [row for row in rows if row["method"] == method], measure, number)
        axis.set(title=title_of(measure), xlabel="pre-training, forward GMACs", xscale="log")
        axis.grid(alpha=0.3)
        _plain_ticks(axis, sorted({row["gmacs"] for row in rows if row["gmacs"]}))
    axes[0].set_ylabel("accuracy on test images, %")
    handles, labels = axes[0].get_legend_handles_labels()
    labels = ["random weights" if label == NOTHING else label for label in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=1, frameon=False)
    figure.savefig(path, dpi=110)


def _line(axis, rows, measure, number):
    rows = sorted(rows, key=lambda row: row["gmacs"])
    # One seed has no deviation: no whiskers.
    spread = [100 * (row[f"{measure}_sd"] or 0) for row in rows]
    spread = spread if any(spread) else None
    axis.errorbar(
        [row["gmacs"] for row in rows], [100 * row[measure] for row in rows], spread,
        marker="osD^vPX*"[number % 8], color=f"C{number % 10}", capsize=3, label=rows[0]["method"],
    )  # fmt: skip


def _plain_ticks(axis, values):
    """The budgets themselves as ticks, where they don't stand on top of each other."""
    from matplotlib.ticker import NullLocator

    kept = []
    for value in values:
        if not kept or value > 1.4 * kept[-1]:
            kept.append(value)
    if kept:
        axis.set_xlim(kept[0] / 1.5, values[-1] * 1.5)
        axis.set_xticks(
            kept, [f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in kept]
        )
        axis.xaxis.set_minor_locator(NullLocator())

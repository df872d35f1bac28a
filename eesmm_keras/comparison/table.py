"""The table of a comparison: means and deviations over seeds, paired differences, their intervals."""

import csv
import math
import statistics

COSTS = (
    "epochs", "steps", "images_seen", "views_seen", "encodings", "gmacs", "seconds", "images_per_s",
    "peak_mb",
)  # fmt: skip
# Behind the name of a measure: columns about it.
_ABOUT = ("_sd", "_diff", "_low", "_high")
_SHOWN = ("images_seen", "views_seen", "encodings", "gmacs", "seconds")


def measures_of(cells):
    """Names of the accuracies that all these results have, in the order of the first."""
    return [
        key
        for key in next(iter(cells), {})
        if (key in ("knn", "linear", "linear_stages") or key.startswith("finetune_"))
        and not key.endswith(_ABOUT)
        and all(key in cell for cell in cells)
    ]


def paired_difference(values, others):
    """Mean of `values[i] - others[i]` and its 95 % interval (Student's t).

    Args:
        values, others: lists of n numbers, of the same n seeds in the same order.

    Returns:
        `(mean, half width)`; the half width is None for fewer than two seeds.
    """
    from scipy import stats

    differences = [a - b for a, b in zip(values, others, strict=True)]
    mean, count = statistics.mean(differences), len(differences)
    if count < 2:
        return mean, None
    error = statistics.stdev(differences) / math.sqrt(count)
    return mean, float(stats.t.ppf(0.975, count - 1)) * error


def summary(name, budget, cells, reference):
    """One row of the table, as a dict of plain numbers.

    Args:
        name: method with its arguments. budget: text, or "" for random weights.
        cells: dict from seed to result.
        reference: the same of the method that differences are taken to; seeds that both have count.

    Returns:
        dict: means of what the pre-training took; of every measure its mean (0..1), `_sd`, the
        deviation between seeds, `_diff`, the paired difference to the reference, and `_low` and
        `_high`, the ends of its 95 % interval. None where there are not enough seeds.
    """
    row = {"method": name, "budget": budget, "seeds": len(cells)}
    for key in COSTS:
        values = [cell[key] for cell in cells.values() if key in cell]
        row[key] = round(statistics.mean(values), 1) if values else 0
    shared = [seed for seed in cells if seed in reference]
    for key in measures_of(list(cells.values())):
        values = [cell[key] for cell in cells.values()]
        row[key] = round(statistics.mean(values), 4)
        row[f"{key}_sd"] = round(statistics.stdev(values), 4) if len(values) > 1 else None
        difference = half = None
        if shared and all(key in reference[seed] for seed in shared) and reference is not cells:
            both = ([side[seed][key] for seed in shared] for side in (cells, reference))
            difference, half = paired_difference(*both)
        row[f"{key}_diff"] = None if difference is None else round(difference, 4)
        row[f"{key}_low"] = None if half is None else round(difference - half, 4)
        row[f"{key}_high"] = None if half is None else round(difference + half, 4)
    return row


def write_csv(rows, path):
    """All numbers of the rows; accuracies 0..1."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, keys)
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path):
    """The rows that `write_csv` wrote.

    Raises:
        OSError, ValueError, KeyError: it cannot be read, or is another file.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    texts = ("method", "budget")
    return [
        {**{key: float(value) if value else None for key, value in row.items() if key not in texts},
         **{key: row[key] for key in texts}}
        for row in rows
    ]  # fmt: skip


def markdown(rows):
    """The rows as a table to read: accuracies and differences in per cent.

    `17.3 ± 0.6, +1.9 [0.4, 3.4]`: mean and deviation over the seeds, the paired difference to the
    first method and its 95 % interval.
    """
    measures = list(dict.fromkeys(key for row in rows for key in measures_of([row])))
    costs = [key for key in _SHOWN if any(row[key] for row in rows)]
    head = ["method", "budget", "seeds", *costs, *measures]
    lines = [" | ".join(key.replace("_", " ") for key in head), " | ".join(["---"] * len(head))]
    for row in rows:
        cells = [row["method"], row["budget"], str(row["seeds"])]
        cells += [f"{row[key]:,.0f}" for key in costs]
        cells += [accuracy_text(row, key) for key in measures]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def accuracy_text(row, key):
    """One accuracy of a row, see `markdown`."""
    if row.get(key) is None:
        return ""
    text = f"{100 * row[key]:.1f}"
    if row[f"{key}_sd"] is not None:
        text += f" ± {100 * row[f'{key}_sd']:.1f}"
    if row[f"{key}_diff"] is not None:
        text += f", {100 * row[f'{key}_diff']:+.1f}"
    if row[f"{key}_low"] is not None:
        text += f" [{100 * row[f'{key}_low']:.1f}, {100 * row[f'{key}_high']:.1f}]"
    return text

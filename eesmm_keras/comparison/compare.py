"""`eesmm compare`: methods on the same data, encoder, budget and augmentation.

OUT/cells/NAME-seedK.json   what one method and seed gave; a finished cell is not run again
OUT/cells/NAME-seedK/       its pre-training run
OUT/results.csv, results.md, accuracy.png
"""

import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path

import yaml

from eesmm_keras.backbones import preset_arguments
from eesmm_keras.comparison.cell import NOTHING
from eesmm_keras.errors import UserError
from eesmm_keras.methods import names as method_names
from eesmm_keras.names import split_arguments, unknown_name

_SUMMED = ("epochs", "images_seen", "views_seen", "steps", "seconds", "images_per_s", "peak_mb")


def parse_budget(text):
    """`epochs=20` or `minutes=5` -> `("epochs", 20.0)`.

    Raises:
        UserError: anything else.
    """
    kind, _, amount = text.partition("=")
    try:
        value = float(amount)
    except ValueError:
        value = 0.0
    if kind not in ("epochs", "minutes") or value <= 0 or (kind == "epochs" and value % 1):
        raise UserError(f"--budget takes epochs=N or minutes=M, got {text!r}.")
    return kind, value


def parse_method(name):
    """`eesmm:num_mixed=3` -> `("eesmm", {"num_mixed": 3})`.

    Raises:
        UserError: an unknown method.
    """
    method, arguments = split_arguments(name)
    if method not in (*method_names(), NOTHING):
        raise UserError(unknown_name("method", method, [*method_names(), NOTHING]))
    return method, arguments


def compare(
    out, data, methods, backbone, budget, seeds=3, batch_size=64, image_size=None, limit=None,
    probe_limit=None, label_shares=(0.01, 0.1), settings=None, finetune_settings=None,
    where=None, say=print,
):  # fmt: skip
    """Run every cell that is not done, and write the table and the picture.

    Args:
        methods: names, with arguments as in `eesmm:num_mixed=3`. Random weights are always added.
        budget: `epochs=N` or `minutes=M` of pre-training (M is made into epochs by a short trial).
        seeds: runs of each method, with seeds 0, 1, ...
        limit: training images used. probe_limit: images of the train and the test part that kNN, the
            linear probe and the test of the fine-tuned classifier use.
        label_shares: shares of the labels for fine-tuning.
        where: dict of data_dir, max_image_pixels, follow_links: see `open_source`.
        settings, finetune_settings: dicts for `PretrainSettings` and `FinetuneSettings`, for all
            methods alike.

    Returns:
        list of dicts, one a method.

    Raises:
        UserError: anything about the arguments; or a cell failed, with what it said last.
    """
    budget, out = parse_budget(budget), Path(out)
    parsed = {NOTHING: (NOTHING, {}), **{name: parse_method(name) for name in methods}}
    preset_arguments(backbone)
    try:
        (out / "cells").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot write to {out}: {error.strerror}. Choose another --out."
        ) from error
    common = {
        "data": str(data), "where": where or {}, "backbone": backbone, "image_size": image_size,
        "batch_size": batch_size, "limit": limit, "probe_limit": probe_limit, "budget": budget,
        "label_shares": list(label_shares), "settings": settings or {},
        "finetune_settings": finetune_settings or {},
    }  # fmt: skip
    _check_same(out, common)
    results = {name: [] for name in parsed}
    for seed in range(seeds):
        for name, (method, arguments) in parsed.items():
            label = f"{name.replace(':', '-')}-seed{seed}"
            target = out / "cells" / f"{label}.json"
            if not target.is_file():
                say(f"{name}, seed {seed}")
                spec = {
                    **common, "method": method, "arguments": arguments, "seed": seed,
                    "folder": str(out / "cells" / label), "result": str(target),
                }  # fmt: skip
                _run(spec, out / "cells" / f"{label}.log")
            results[name].append(json.loads(target.read_text()))
            rows = [summary(name, cells) for name, cells in results.items() if cells]
            write(out, rows)
    say((out / "results.md").read_text())
    return rows


def _check_same(out, common):
    """The settings of a comparison that goes on must be those it began with."""
    path, text = out / "settings.yaml", yaml.safe_dump(json.loads(json.dumps(common)))
    if path.is_file() and path.read_text() != text:
        raise UserError(f"{out} holds a comparison with other settings. Choose another --out.")
    path.write_text(text)


def _run(spec, log):
    with open(log, "w") as file:
        command = [sys.executable, "-m", "eesmm_keras.comparison.cell", json.dumps(spec)]
        status = subprocess.run(command, stdout=file, stderr=file).returncode
    if status:
        lines = log.read_text().splitlines()
        last = next((line for line in reversed(lines) if line.strip()), f"status {status}")
        raise UserError(f"{spec['method']}, seed {spec['seed']} failed: {last} (see {log})")


def summary(name, cells):
    """One row of the table: means over the seeds, and `mean +- sd` of the accuracies."""
    row = {"method": name, "seeds": len(cells)}
    for key in _SUMMED:
        values = [cell[key] for cell in cells if key in cell]
        row[key] = round(statistics.mean(values), 1) if values else 0
    for key in cells[0]:
        if key in ("knn", "linear") or key.startswith("finetune_"):
            values = [cell[key] for cell in cells]
            row[key] = round(statistics.mean(values), 4)
            row[f"{key}_sd"] = round(statistics.stdev(values), 4) if len(values) > 1 else 0.0
    return row


def write(out, rows):
    """results.csv, results.md and accuracy.png."""
    with open(out / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    keys = [key for key in rows[0] if not key.endswith("_sd")]
    lines = ["| " + " | ".join(keys) + " |", "|---" * len(keys) + "|"]
    for row in rows:
        cells = [
            f"{row[key]:.3f} +- {row[f'{key}_sd']:.3f}" if f"{key}_sd" in row else f"{row[key]}"
            for key in keys
        ]
        lines.append("| " + " | ".join(cells) + " |")
    (out / "results.md").write_text("\n".join(lines) + "\n")
    draw(rows, out / "accuracy.png")


def draw(rows, path):
    """Accuracy against pre-training time: one panel a measure, one point a method."""
    from matplotlib.figure import Figure

    measures = [key for key in rows[0] if f"{key}_sd" in rows[0]]
    figure = Figure(figsize=(4.2 * len(measures), 3.8), layout="constrained")
    axes = figure.subplots(1, len(measures), squeeze=False)[0]
    for axis, measure in zip(axes, measures, strict=True):
        for row in rows:
            value, spread = row[measure], row[f"{measure}_sd"]
            axis.errorbar(row["seconds"], value, spread, fmt="o", capsize=3, label=row["method"])
        axis.set(title=measure.replace("_", " "), xlabel="seconds of pre-training")
    axes[0].set_ylabel("accuracy")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=110)

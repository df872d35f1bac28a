"""`eesmm compare`: methods on the same data, encoder, budget and augmentation.

OUT/cells/NAME.json   what one method, budget and seed gave, with its settings; not run again
OUT/cells/NAME/       its pre-training run
OUT/results.csv, results.md, accuracy.png, and from the command report.html
"""

import hashlib
import itertools
import json
import re
from pathlib import Path

from eesmm_keras.comparison import evidence, specs, table
from eesmm_keras.comparison.cell import NOTHING
from eesmm_keras.comparison.picture import draw
from eesmm_keras.comparison.workers import check_jobs, run_cells
from eesmm_keras.errors import UserError
from eesmm_keras.training.beforehand import check_places

_INTRODUCTION = """\
Accuracies in per cent: mean ± deviation between seeds, then the paired difference to {first} with its
95 % interval (Student's t over the seeds). GMACs: forward products of encoder and decoder, all views.

"""


def compare(
    out, data, methods, backbone, budget, seeds="3", batch_size=64, image_size=None, limit=None,
    probe_limit=None, labels="0.01,0.1", settings=None, finetune_settings=None, where=None, jobs=1,
    evidence_folders=(), say=print,
):  # fmt: skip
    """Run every cell that is not done, and write the table and the picture.

    Args:
        out: folder of the comparison.
        data: labelled images with a train and a test part, see `open_source`.
        methods: names, with arguments as in `eesmm:num_mixed=3`. Random weights are always added;
            differences are taken to the first method.
        backbone: name of the encoder, see `backbones.preset_arguments`.
        budget: `gmacs=N` of counted forward products (encoder and decoder, all views), `images=N`,
            `epochs=N` or `minutes=N` of pre-training, the last made into images by a short trial; or
            several of one kind with commas between them.
        seeds: a number, or a list with commas. A seed decides weights, masks, the order of images and
            which labels are used.
        batch_size: images per step.
        image_size: pixels, or height and width; None is the encoder's.
        limit: training images used.
        probe_limit: images of the train and the test part that kNN, the linear probes and the test
            of the fine-tuned classifier use.
        labels: of fine-tuning: images of each class ("5/class"), or shares of them ("0.1"), with
            commas; "" for no fine-tuning.
        settings, finetune_settings: dicts for `PretrainSettings` and `FinetuneSettings`, for all
            methods alike.
        where: dict of data_dir, max_image_pixels, follow_links: see `open_source`.
        jobs: cells side by side, each on its part of the processor cores.
        evidence_folders: folders with finished cells, taken instead of run where all settings agree.

    Returns:
        list of dicts, see `table.summary`: one a method and budget.

    Raises:
        UserError: anything about the arguments; or a cell failed, with what it said last.
    """
    check_jobs(jobs)
    names = [NOTHING, *(name for name in dict.fromkeys(methods) if name != NOTHING)]
    if len(names) < 2:
        raise UserError("--methods names no method: expected one or more, such as eesmm,simmim.")
    budgets, seeds = specs.parse_budgets(budget), specs.parse_seeds(seeds)
    labels, where = specs.parse_labels(labels), where or {}
    settings, finetune_settings = settings or {}, finetune_settings or {}
    specs.check(names, backbone, settings, finetune_settings)
    check_places(data)
    known = [cell for folder in evidence_folders for cell in evidence.read_cells(folder)]
    common = {
        "data": specs.data_facts(data, where), "backbone": backbone, "image_size": image_size,
        "batch_size": batch_size, "limit": limit, "probe_limit": probe_limit, "labels": labels,
        "pretrain": settings, "finetune": finetune_settings,
    }  # fmt: skip
    plan = [
        ((name, chosen, seed), specs.settings_of(common, name, chosen, seed))
        for seed, chosen, name in itertools.product(seeds, budgets, names)
        if name != NOTHING or chosen == budgets[0]
    ]
    folder = _make_folder(out) / "cells"
    results, missing = _look_up(plan, known + evidence.read_cells(folder), folder)
    if results:
        say(f"{len(results)} of {len(plan)} cells are there already.")
    for _, spec in missing:
        spec.update(data=str(data), where=where)
    for key, result in run_cells(missing, jobs, say):
        results[key] = result
        write(out, rows_of(results, names))
    rows = rows_of(results, names)
    write(out, rows)
    say((Path(out) / "results.md").read_text())
    return rows


def _look_up(plan, known, folder):
    """Which cells are there, and what is to be run.

    Args:
        plan: list of `(key, settings)`, the key being `(method, budget, seed)`.
        known: finished cells. folder: where others go.

    Returns:
        `(results, missing)`: dict from a key to a result; list of `(key, spec)`.
    """
    results, missing = {}, []
    for key, wanted in plan:
        found = evidence.find(known, wanted)
        if found:
            results[key] = found
            continue
        target = folder / f"{_file_name(*key, wanted)}.json"
        paths = {"folder": str(target.with_suffix("")), "result": str(target)}
        missing.append((key, {"settings": wanted, **paths}))
    return results, missing


def _make_folder(out):
    try:
        (Path(out) / "cells").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot write to {out}: {error.strerror}. Choose another --out."
        ) from error
    return Path(out)


def _file_name(name, budget, seed, settings):
    """Readable, and another one for other settings."""
    words = [name] if name == NOTHING else [name, budget_text(budget)]
    words = re.sub(r"[^A-Za-z0-9.=]+", "-", "-".join(words)).strip("-")[:120]
    mark = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:6]
    return f"{words}-seed{seed}-{mark}"


def budget_text(budget):
    """`("gmacs", 500.0)` -> `gmacs=500`."""
    return f"{budget[0]}={budget[1]:g}"


def rows_of(results, names):
    """Rows of the table, random weights first.

    Args:
        results: dict from `(method, budget, seed)` to a cell's result.
        names: methods in the order wanted; differences are taken to the second.
    """
    rows = []
    for budget in sorted({budget for _, budget, _ in results}):
        for name in names:
            cells = _cells(results, name, budget)
            if cells:
                text = "" if name == NOTHING else budget_text(budget)
                reference = _cells(results, names[1], budget)
                rows.append(
                    table.summary(name, text, cells, cells if name == names[1] else reference)
                )
    return rows


def _cells(results, name, budget):
    found = [key for key in results if key[:2] == (name, budget)]
    return {seed: results[name, budget, seed] for _, _, seed in found}


def write(out, rows):
    """results.csv, results.md and accuracy.png."""
    out = Path(out)
    table.write_csv(rows, out / "results.csv")
    first = next((row["method"] for row in rows if row["method"] != NOTHING), NOTHING)
    text = _INTRODUCTION.format(first=first) + table.markdown(rows)
    (out / "results.md").write_text(text)
    draw(rows, out / "accuracy.png")

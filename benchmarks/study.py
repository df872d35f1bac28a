"""Tables of docs/evidence.md from the finished cells in docs/evidence/: nothing is run, no data needed.

python benchmarks/study.py                          # every cell, a table per data set and fine-tuning
python benchmarks/study.py --write docs/evidence.md # the same into the page
python benchmarks/study.py --seeds 1,2,3,4,5         # of these seeds alone
python benchmarks/study.py --picture docs/evidence/rates.png
"""

import argparse
import json
import os
from pathlib import Path

from eesmm_keras.comparison import evidence, specs, table
from eesmm_keras.comparison.cell import NOTHING
from eesmm_keras.registry import PLUGINS_VARIABLE
from eesmm_keras.training.settings import PretrainSettings

CELLS = Path(__file__).parent.parent / "docs" / "evidence"
# Methods of some cells.
CANDIDATES = Path(__file__).parent / "candidates"
# What a label leaves out, as nearly all cells of a study share it; the rate it always names.
BATCH = 128
SHARED = {"decoder_dim": 64, "decoder_num_heads": 4}
SHARED_SETTINGS = {"beta_2": 0.95}
# What the page's tables compare with.
FIRST = "eesmm, rate 0.008"
_INITIAL = {"glorot_uniform": "", None: "0.02 kernels"}


def label(settings):
    """A cell's method with the arguments that are not the default, its rate and initial kernels."""
    defaults = specs.defaults_of(settings)["arguments"]
    changed = [
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in settings["arguments"].items()
        if SHARED.get(key) != value and defaults.get(key) != value
    ]
    words = [":".join([settings["method"], *changed])]
    if settings["pretrain"]:
        words.append(f"rate {settings['pretrain']['learning_rate']:g}")
    if settings["pretrain"] and settings["batch_size"] != BATCH:
        words.append(f"batch {settings['batch_size']}")
    words += [f"{key}={value}" for key, value in _changed(settings["pretrain"]).items()]
    words.append(_INITIAL[settings["encoder"]["kernel_initializer"]])
    return ", ".join(word for word in words if word)


def _changed(settings):
    """Settings of the pre-training that are not the default."""
    fields = PretrainSettings.model_fields
    return {
        key: value
        for key, value in settings.items()
        if key != "learning_rate"
        and SHARED_SETTINGS.get(key, _as_list(fields[key].default)) != value
    }


def _as_list(value):
    """As JSON keeps it."""
    return list(value) if isinstance(value, tuple) else value


def rows(cells, first=None):
    """Rows of the table: one a method, budget and initial kernels, over all seeds.

    Args:
        cells: of `evidence.read_cells`.
        first: start of the label that differences are taken to; None: the first method's.
    """
    groups = {}
    for cell in cells:
        settings = cell["settings"]
        kind, amount = settings["budget"] or ("", 0)
        text = f"{kind}={amount:g}" if kind else ""
        key = (settings["method"] != NOTHING, kind, amount, text, label(settings))
        groups.setdefault(key, {})[settings["seed"]] = cell["result"]
    keys = sorted(groups)
    trained = [key for key in keys if key[0]]
    # What starts from another run cost more than its budget says: compared with only if asked for.
    if "init_from=" not in (first or ""):
        trained = [key for key in trained if "init_from=" not in key[-1]]
    chosen = [key for key in trained if first is None or key[-1].startswith(first)]
    found = []
    for key in keys:
        # Where the first method lacks a budget, with its smallest one; random weights too.
        same = [other for other in chosen if other[:-1] == key[:-1]] or chosen
        reference = groups[same[0]] if same and key != same[0] else groups[key]
        found.append(table.summary(key[-1], key[-2], groups[key], reference))
    return found


def check(folder):
    """Raise an AssertionError if a cell names a path: cells are read on any machine."""
    for path in folder.glob("*.json"):
        assert '"/' not in path.read_text(), f"{path} holds a path"
        assert json.loads(path.read_text())["settings"]["data"]["train_images"] > 0


def studies(folder, first=None, seeds=None):
    """`(title, rows)` of each data set and side, fine-tuned or not; the one with most cells first.

    Args:
        folder: of cells. first: see `rows`. seeds: of the cells taken; None: all.
    """
    os.environ.setdefault(PLUGINS_VARIABLE, str(CANDIDATES))
    sets = {}
    for cell in evidence.read_cells(folder):
        settings = cell["settings"]
        if seeds and settings["seed"] not in seeds:
            continue
        side = settings["encoder"]["image_shape"][0]
        key = (settings["data"]["class_names_sha256"], side, *settings["labels"])
        sets.setdefault(key, []).append(cell)
    for (_, side, *labels), cells in sorted(sets.items(), key=lambda item: -len(item[1])):
        data = cells[0]["settings"]["data"]
        tuned = f", fine-tuned on {', '.join(labels)}" if labels else ""
        title = (
            f"{data['classes']} classes, {side} pixels, {data['test_images']} test images{tuned}"
        )
        yield title, rows(cells, first)


def with_tables(page, found):
    """The text of a page with its tables made anew: each stands between `<!-- study: TITLE -->` and
    `<!-- end -->`."""
    for title, lines in found:
        start, end = f"<!-- study: {title} -->\n", "\n<!-- end -->"
        if start in page:
            before, _, rest = page.partition(start)
            after = rest[rest.index(end) :]
            page = f"{before}{start}\n{table.markdown(lines).strip()}\n{after}"
    return page


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=Path, default=CELLS, help="Folder of cells.")
    parser.add_argument(
        "--first", default=FIRST, help="Method that differences are taken to, as in the table."
    )
    parser.add_argument("--seeds", help="Take the cells of these seeds alone: 1,2.")
    parser.add_argument("--picture", type=Path, help="Write accuracy against compute there.")
    parser.add_argument("--write", type=Path, help="Page whose tables are made anew.")
    args = parser.parse_args()
    check(args.cells)
    seeds = args.seeds and {int(seed) for seed in args.seeds.split(",")}
    found = list(studies(args.cells, args.first, seeds))
    for title, lines in found:
        print(f"{title}\n\n{table.markdown(lines)}")
    if args.write:
        page = args.write.read_text(encoding="utf-8")
        args.write.write_text(with_tables(page, found), encoding="utf-8")
    if args.picture:
        from eesmm_keras.comparison.picture import draw

        draw(found[0][1], args.picture)


if __name__ == "__main__":
    main()

"""The model card beside an export: README.md as the Hugging Face hub reads it."""

import re
from pathlib import Path

import yaml

from eesmm_keras._version import __version__
from eesmm_keras.exports.report import reduction_lines
from eesmm_keras.exports.using import Steps

# Whoever edits a card takes this line out, and the card stays as it is.
MARK = "<!-- Written by `eesmm export`, which replaces a file that has this line. -->"
_UNKNOWN = "unknown"
_LICENCE = re.compile(r"[a-z][a-z0-9.-]{1,40}")
_SHOWN = 20


def card_path(out):
    """Where the card of an export lies: in a folder README.md, beside a file NAME.README.md."""
    out = Path(out)
    return out / "README.md" if out.is_dir() else out.with_name(f"{out.name}.README.md")


def write_card(path, text):
    """Write a card, unless a file is there that this package did not write."""
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        return
    path.write_text(text, encoding="utf-8")


def model_card(name, kind, metadata, parity, provenance):
    """The text of a card.

    Args:
        name: of the export. kind: its `Format`.
        metadata: of `exports.metadata.describe`. parity: entry of parity.json.
        provenance: `exports.provenance.Provenance`.
    """
    sections = [
        ("Training", _training(provenance)),
        ("Input", _input(metadata)),
        ("Outputs", _outputs(metadata)),
        ("How near it is to the model that was trained", _parity(parity)),
        ("Use", _use(name, kind, metadata)),
        ("Licence", _licence(provenance)),
    ]
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections if text)
    return f"{_front(kind, metadata, provenance)}\n{MARK}\n\n{_title(name, kind, metadata)}\n\n{body}\n"


_PIPELINES = {"segmentation": "image-segmentation", "detection": "object-detection"}


def _front(kind, metadata, provenance):
    one = "image-classification" if "logits" in metadata["outputs"] else "image-feature-extraction"
    licence = provenance.licence if _is_id(provenance.licence) else _UNKNOWN
    content = {
        "license": licence,
        "library_name": kind.library,
        "pipeline_tag": _PIPELINES.get(metadata.get("task"), one),
        "base_model": provenance.base_model,
        "tags": [
            "eesmm-keras",
            metadata["architecture"],
            *dict.fromkeys(t.method for t in provenance.trainings if t.task == "pretrain"),
        ],
    }
    content = {key: value for key, value in content.items() if value is not None}
    return f"---\n{yaml.safe_dump(content, sort_keys=False)}---"


def _is_id(licence):
    return bool(licence) and _LICENCE.fullmatch(licence) is not None


def _title(name, kind, metadata):
    height, width = metadata["image_size"]
    what = "An image classifier" if "logits" in metadata["outputs"] else "An image encoder"
    return (
        f"# {name}\n\n{what} ({metadata['architecture']}) for images of {height} x {width} pixels, "
        f"exported as {kind.description} by eesmm-keras {__version__}."
    )


def _training(provenance):
    lines = []
    for number, run in enumerate(provenance.trainings, start=1):
        kind = "Pre-training" if run.task == "pretrain" else "Fine-tuning"
        steps = _product(run.epochs, run.steps)
        lines += [
            f"{number}. {kind}, `{run.method}`",
            f"   - data: {run.data}",
            f"   - steps: {_or(steps)} ({_or(run.epochs)} epochs of {_or(run.steps)}), "
            f"{_or(run.batch_size)} images per step",
            f"   - image size: {_or(run.image_size)}; seed: {_or(run.seed)}; backend: {run.backend}",
            f"   - measured at the end (metrics.csv): {_scores(run.scores)}",
        ]
    began = "random weights"
    if provenance.public:
        began = f"public weights, {_place(provenance)}"
    elif not provenance.complete:
        began = _UNKNOWN
    before = "what was before that" if provenance.trainings else "how it was trained"
    if began == _UNKNOWN:
        lines += ["", f"It is not known {before}."]
    else:
        lines = [f"It began with {began}.", "", *lines]
    return "\n".join(lines).strip()


def _place(provenance):
    base = provenance.base_model
    if base:
        return f"[{base}](https://huggingface.co/{base})"
    return Path(provenance.public).name


def _scores(scores):
    return ", ".join(f"{name} {value:.4f}" for name, value in scores.items()) or "nothing"


def _product(epochs, steps):
    whole = isinstance(epochs, int) and isinstance(steps, int)
    return epochs * steps if whole else None


def _or(value):
    return _UNKNOWN if value is None else value


def _input(metadata):
    model, steps = metadata["input"], metadata["preprocessing"]
    shape = ", ".join(str(x) if x is not None else "any" for x in model["shape"])
    values = "pixel values 0 to 255"
    if model["value_range"] == "normalised":
        values = f"normalised outside, `{steps['formula']}`"
    mean, std = (", ".join(f"{x:g}" for x in steps[key]) for key in ("mean", "std"))
    order = f"{model['color_order']}, " if model["color_order"] else ""
    lines = [
        f"`{model['name']}`: {model['dtype']} ({shape}), {model['layout']}, {order}{values}; "
        f"mean {mean}; std {std}."
    ]
    if "raw_to_pixels" in model:
        low, high = model["raw_low"], model["raw_high"]
        lines.append(f"Pixels are `{model['raw_to_pixels']}`, raw_low {low}, raw_high {high}.")
    if steps["resize_in_graph"]:
        lines.append("Images of any size are resized inside.")
    return " ".join(lines)


def _outputs(metadata):
    rows = [
        f"- `{name}` ({', '.join(map(str, x['shape']))}): {x['description']}"
        for name, x in metadata["outputs"].items()
    ]
    names = metadata["class_names"]
    if names and {"logits", "scores"} & metadata["outputs"].keys():
        more = ", ..." if len(names) > _SHOWN else ""
        rows += ["", f"{len(names)} classes: {', '.join(map(str, names[:_SHOWN]))}{more}"]
    return "\n".join(rows)


def _parity(parity):
    rows = [
        f"| {name} | {batch.replace('batch_', '').replace('_', ' ')} | {found:.2e} | "
        f"{_limit(parity['limits'][name])} |"
        for name, batches in parity["max_abs_diff"].items()
        for batch, found in batches.items()
    ]
    head = "| output | images | largest difference | allowed |\n|---|---|---|---|"
    return (
        "The file was run by its own runtime, in a process of its own, on the same images as the Keras "
        f"model (parity.json):\n\n{head}\n" + "\n".join(rows) + _precision(parity)
    )


def _limit(number):
    return "judged by its answers" if number is None else f"{number:.0e}"


def _precision(parity):
    return "".join(f"\n\n{line[:1].upper()}{line[1:]}." for line in reduction_lines(parity))


def _use(name, kind, metadata):
    program = kind.program(Steps(metadata)).replace("PATH", name).strip()
    return f"```python\n{program}\n```" if program else ""


def _licence(provenance):
    if provenance.public:
        return (
            f"Of the public weights that it began with: {_or(provenance.licence)}. Of what was trained "
            "on top: whoever publishes it says."
        )
    if provenance.complete:
        return "No public weights went into it. Whoever publishes it says under which licence."
    return f"{_UNKNOWN}: it is not known whether public weights went into it."

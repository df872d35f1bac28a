"""`eesmm report`: the folder of a run, or of a comparison, as one page."""

import json
import math
from pathlib import Path
from shlex import quote

from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.folder import METRICS
from eesmm_keras.names import shortened
from eesmm_keras.reports import html
from eesmm_keras.reports.comparison import RESULTS, comparison_page
from eesmm_keras.reports.curves import curve
from eesmm_keras.training.run_config import read_config
from eesmm_keras.training.runs import Run
from eesmm_keras.training.state_files import read_text
from eesmm_keras.whole_files import write_atomically

REPORT, EVALUATION = "report.html", "evaluation"
# Columns of metrics.csv that are about speed and not about what is learnt.
_SPEED = ("images_per_second", "data_wait", "learning_rate", "skipped", "epoch")
_PICTURES, _BAD, _VALIDATION = 6, 200, "validation"


def write_report(path):
    """Write report.html from what is in the folder now, whole or not at all.

    Args:
        path: of a run's folder, finished or not, or of one that `eesmm compare` wrote.

    Returns:
        Path of the page.

    Raises:
        UserError: there is neither, or its files are damaged.
    """
    run, page = Run(path), Path(path) / REPORT
    if run.exists:
        text = _page(run)
    elif (Path(path) / RESULTS).is_file():
        text = comparison_page(path)
    else:
        raise UserError(
            f"{path} is no run and no comparison: it has neither config.yaml nor {RESULTS}."
        )
    data = text.encode("utf-8", "surrogateescape")
    write_atomically(page, lambda file: file.write(data))
    return page


def _page(run):
    config, rows = read_config(run.config_path), run.metrics()
    name = run.path.resolve().name
    what = {"pretrain": "Pre-training", "finetune": "Fine-tuning"}.get(config.task, config.task)
    finished = run.model_path.is_file()
    epochs = config.settings.get("epochs")
    state = "finished" if finished else f"not finished: {len(rows)} of {epochs} epochs"
    parts = [
        f"<h1>{html.text(what)}: {html.text(name)}</h1>",
        html.paragraph(f"{state}. {_in_short(config)}", "quiet"),
        *(
            f'<p class="warning"><b>Warning, {html.text(when)}:</b> {html.text(text)}</p>'
            for _, when, text in run.warnings()
        ),
        html.tiles(_tiles(config, rows)),
        html.section("Next", _next(run, config, finished)),
        html.section("Curves", html.grid(_curves(rows))),
        html.section("Reconstructions", *_pictures(run)),
        _evaluation(run.path / EVALUATION),
        html.section("Data", *_data(run, config)),
        _origin(run),
        html.section("Settings and versions", *_settings(config)),
        html.section("Every epoch", html.folded(f"{len(rows)} rows", _metrics_table(rows))),
    ]
    return html.page(f"{name}: {what}", "\n".join(part for part in parts if part))


def _in_short(config):
    settings, derived = config.settings, config.derived
    method = settings.get("method", settings.get("task_name") or "image_classifier")
    backbone = derived.get("backbone") or settings.get("backbone") or "the encoder of its weights"
    return f"{method} on {settings.get('data')}, {backbone}, {config.backend}"


def _tiles(config, rows):
    last, derived = rows[-1] if rows else {}, config.derived
    size = derived.get("image_size", "")
    facts = {
        "epochs done": f"{len(rows)} of {config.settings.get('epochs')}",
        "loss": _figure(last.get("loss")),
        **{name.replace("_", " "): _figure(value) for name, value in last.items()
           if name.endswith(("accuracy", "mean_iou")) or name == "effective_rank"},
        "images/s": _figure(last.get("images_per_second")),
        "images per step": derived.get("batch_size", ""),
        "image size": " x ".join(map(str, size)) if isinstance(size, list | tuple) else size,
    }  # fmt: skip
    return facts


def _figure(value):
    return "" if value is None else f"{value:.4g}"


def _curves(rows):
    """A drawing for each family of columns: `loss` with `val_loss`, and so on."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    wanted = [name for name in names if name not in _SPEED and not name.startswith("val_")]
    extra = [name for name in ("images_per_second", "data_wait", "learning_rate") if name in names]
    for name in [*wanted, *extra]:
        if len(rows) < 2 and name in extra:
            continue
        both = {name: name, f"val_{name}": _VALIDATION}
        series = {
            told: [(row["epoch"], row[key]) for row in rows if key in row and "epoch" in row]
            for key, told in both.items()
        }
        title = name.replace("_", " ")
        svg = curve({key: points for key, points in series.items() if points}, title)
        yield svg and html.drawing(svg, _said(series))


def _said(series):
    ends = [(name, points[-1][1]) for name, points in series.items() if points]
    return "at the end " + ", ".join(
        f"{value:.4g}{' in validation' if name == _VALIDATION else ''}" for name, value in ends
    )


def _pictures(run):
    paths = sorted(run.pictures.glob("epoch_*.png")) if run.pictures.is_dir() else []
    if not paths:
        return []
    keep = min(_PICTURES, len(paths))
    chosen = [paths[round(k * (len(paths) - 1) / max(keep - 1, 1))] for k in range(keep)]
    last, *earlier = reversed(dict.fromkeys(chosen))
    shown = [html.picture(last, _epoch_of(last), wide=True)]
    inside = "".join(html.picture(path, _epoch_of(path), wide=True) for path in earlier)
    return [*shown, html.folded("Earlier ones, the same images", inside)]


def _epoch_of(path):
    number = path.stem.removeprefix("epoch_").lstrip("0") or "0"
    return "before training" if number == "0" else f"after epoch {number}"


def _evaluation(folder):
    """What `eesmm evaluate --out RUN/evaluation` left."""
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        scores, classes = metrics["scores"], metrics.get("classes", [])
        columns = ("precision", "recall", "f1", "images", "iou", "pixels")
        columns = [name for name in columns if all(name in c for c in classes)]
        rows = [[c["name"], *("" if c[n] is None else c[n] for n in columns)] for c in classes]
        facts = {name: _figure(value) for name, value in scores.items()}
        if "accuracy_interval" in metrics:
            low, high = metrics["accuracy_interval"]["ends"]
            facts["95 % interval"] = f"{low:.3f} to {high:.3f}"
            facts["mean F1"] = _figure(metrics["mean_f1"])
            facts["calibration error"] = _figure(metrics["calibration_error"]["value"])
        where = (
            f"{metrics.get('images', '')} images, {metrics.get('split')} of {metrics.get('data')}"
        )
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return html.section("Evaluation", html.paragraph(f"cannot be read: {shortened(error)}"))
    pictures = [html.picture(folder / f"{name}.png", name) for name in ("confusion", "calibration")]
    mistakes = html.picture(folder / "mistakes.png", "the surest mistakes", wide=True)
    table = html.table(("class", *columns), rows)
    return html.section(
        "Evaluation", html.paragraph(where, "quiet"), html.tiles(facts), html.grid(pictures), mistakes,
        html.folded(f"{len(rows)} classes", table),
    )  # fmt: skip


def _data(run, config):
    settings, derived = config.settings, config.derived
    facts = {
        "data": config.paths.get("data", settings.get("data")),
        "images": derived.get("images", ""),
        "validation images": derived.get("validation_images", ""),
        "classes": derived.get("classes", ""),
        "probe data": settings.get("probe_data") or "",
    }
    yield html.tiles(facts)
    if not run.bad_images_path.is_file():
        yield html.paragraph("No image was found that cannot be read.")
        return
    text = run.bad_images_path.read_text(encoding="utf-8", errors="surrogateescape")
    pairs = [line.partition(": ")[::2] for line in text.splitlines()]
    plural = "s" * (len(pairs) != 1)
    yield html.paragraph(f"{len(pairs)} image{plural} could not be read, left out:")
    yield html.table(("file", "reason"), pairs, _BAD)


def _origin(run):
    path = run.path / "weights.md"
    if not path.is_file():
        return ""
    text = read_text(path, "Remove it.")
    return html.section("Starting weights", html.folded("weights.md", html.command(text)))


def _settings(config):
    versions = html.table(("package", "version"), list(config.versions.items()))
    rows = [(name, _plain(value)) for name, value in config.settings.items() if value is not None]
    rows += [(f"{name} (derived)", _plain(value)) for name, value in config.derived.items()
             if not isinstance(value, dict)]  # fmt: skip
    return versions, html.folded("All settings", html.table(("setting", "value"), rows))


def _plain(value):
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)


def _metrics_table(rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    names = [name for name in names if name != "epoch"]
    cells = [
        [int(row.get("epoch", 0)), *(row.get(name, math.nan) for name in names)] for row in rows
    ]
    return html.table(("epoch", *names), cells, most=1000)


def _next(run, config, finished):
    path = run.path
    if not finished:
        return html.paragraph("The command that began this run goes on with it.")
    if config.task == "pretrain":
        tuned = quote(f"{path}-finetuned")
        return html.command(
            f"eesmm finetune --data LABELLED --weights {quote(str(path))} --out {tuned}"
        )
    words = {"--data": config.settings.get("data"), "--weights": path, "--out": path / EVALUATION}
    options = " ".join(f"{option} {quote(str(value))}" for option, value in words.items())
    evaluated = (path / EVALUATION / METRICS).is_file()
    return html.command("\n".join([
        *([] if evaluated else [f"eesmm evaluate {options}", f"eesmm report {quote(str(path))}"]),
        f"eesmm export --weights {quote(str(path))} --format onnx --out {quote(f'{path}.onnx')}",
    ]))  # fmt: skip

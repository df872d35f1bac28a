"""Runs the commands and programs of README and docs as they stand, in one folder a page, on small data.

Nothing is rewritten but by the tables below: options that are put behind those of a command, and words
that are replaced in a program. What is not run has its reason here.
"""

import importlib.util
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import docs_data
from click.testing import CliRunner
from test_docs import blocks, commands

from eesmm_keras.cli.main import group
from small_runs import SMALL

ROOT = Path(__file__).parent.parent
_METHOD = ["--set", "decoder_dim=16", "--set", "decoder_num_heads=2", "--set", "mask_bank_size=4"]
_SHORT = ["--epochs", "2", "--steps-per-epoch", "1", "--batch-size", "4"]
# Options that are put behind those that stand on the page: the last one counts.
APPENDED = {
    "pretrain": ["--method", "eesmm", "--backbone", SMALL, *_SHORT, *_METHOD],
    "finetune": _SHORT,
    "doctor": ["--no-trial"],
    "reproduce": ["--backbone", SMALL],
}
# Words of programs, as regular expressions.
REPLACED = {
    r"\bswin_tiny\b": "swin_mini_32",
    r"\bvit_base\b": "vit_mini_32",
    r'from_preset\("swin_mini_32"\)': 'from_preset("swin_mini_32", depths=(1, 1, 1))',
    r"\bepochs=\d+": "epochs=1",
    r"= patches\(\d+": "= patches(80",  # the notebook's pieces of photographs
}
# Commands and lines of the shell that are not run: a part of them, and why.
SKIPPED = {
    "hf://": "needs the network",
    "s3://": "needs the network",
    "pip install": "changes the environment; `make wheel` installs the package",
    "python3 -m venv": "changes the environment",
    ". .venv/bin/activate": "changes the environment",
    "hf auth login": "needs the network",
    "make ": "sets up an environment of its own; CI runs `make test-all`, which has these tests",
    "eesmm benchmark": "takes minutes, in processes of its own: test_benchmark.py",
    "eesmm compare": "takes minutes, in processes of its own: test_compare.py",
    "eesmm reproduce": "takes minutes, in processes of its own: test_reproductions.py",
    "break": "part of a loop of the shell, whose command is run",
    "done": "part of a loop of the shell, whose command is run",
}
LANGUAGES = {
    "js": "needs Node and onnxruntime-web",
    "cpp": "needs onnxruntime's headers",
    "text": "is output",
    "toml": "is no command",
    "json": "is no command",
}
# Runs that pages take for granted, each made once: its name in a page's folder, and how it is made.
RUNS = {
    "runs/photos": "eesmm pretrain --data photos/ --out runs/photos",
    "runs/classifier": "eesmm finetune --data labelled/ --weights runs/photos --out runs/classifier",
}


class Page(NamedTuple):
    """What a page takes for granted. `data`: of docs_data. `runs`: of RUNS, as `NAME` or `NAME=RUN`.
    `names`: a program that defines what those of the page use."""

    data: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    names: str = ""


_SOME = """
import numpy as np
rng = np.random.default_rng(0)
images = few_images = some_images = others = rng.integers(0, 256, (16, {side}, {side}, 3), "uint8")
labels = few_labels = their_labels = np.arange(16) % {classes}
"""
_ENCODER = """
from eesmm_keras import SwinBackbone
model = SwinBackbone((32, 32, 3), 8, (1, 1), (1, 2), 4, patch_size=2)
"""
PAGES = {
    "README.md": Page(("photos", "labelled"), names=_SOME.format(side=32, classes=10)),
    "quickstart.md": Page(("photos", "labelled"), names=_SOME.format(side=32, classes=10)),
    "quickstart.ipynb": Page(),
    "api.md": Page(names=_SOME.format(side=32, classes=10)),
    "data.md": Page(("photos", "scenes")),
    "answers.md": Page(
        ("photos", "photo", "labelled"),
        ("runs/photos", "runs/classifier", "runs/a=runs/classifier", "runs/b=runs/classifier"),
    ),
    "exports.md": Page(
        ("photo", "labelled"), ("runs/photos", "runs/classifier"), _SOME.format(side=16, classes=3)
    ),
    "finetuning.md": Page(("labelled",), ("runs/photos",), _SOME.format(side=32, classes=10)),
    "segmentation.md": Page(("streets",), ("runs/photos",)),
    "many_channels.md": Page(("scenes", "xrays")),
    "weights.md": Page(("photos", "labelled", "downloads"), names=_ENCODER),
    "runs.md": Page(("photos",)),
    "choosing.md": Page(("photos", "labelled")),
    "large_data.md": Page(("photos", "shards")),
}
NOT_RUN = {
    "detection.md": "the same commands on boxes: test_detection.py",
    "encoders.md": "larger encoders on digits: test_twins.py, test_convit.py",
    "evidence.md": "hours of training",
    "extending.md": "its examples are run by the tests of each family, by examples.py",
    "index.md": "the commands of README.md",
    "keras_hub.md": "its programs are run by test_keras_hub.py",
    "reproduce.md": "published tables: test_reproductions.py",
    "results.md": "hours of training and measuring",
    "scaling.md": "several devices, GPUs or hosts: test_distribution.py",
    "settings.md": "a comparison, in processes of its own: test_compare.py",
}


def has_something_to_run(path):
    return any(
        language == "python" or (language in ("", "bash", "sh", "console") and any(commands(text)))
        for language, text in blocks(path)
    )


def path_of(page):
    return ROOT / page if page == "README.md" else ROOT / "docs" / page


def run_command(arguments):
    """Output of one command of a page, made small; what fails is raised."""
    added = list(APPENDED.get(arguments[0], ()))
    if arguments[0] == "finetune" and "--backbone" in arguments:
        added += ["--backbone", SMALL]
    result = CliRunner().invoke(group, [*arguments, *added])
    if result.exception:
        raise AssertionError(
            f"eesmm {' '.join(arguments)}: {result.exception!r}"
        ) from result.exception
    out = arguments[arguments.index("--out") + 1] if "--out" in arguments else "."
    assert Path(out).exists(), f"eesmm {' '.join(arguments)}: no {out}"
    return result.output


def _loosely(text):
    """Words and numbers, whatever the numbers are."""
    return re.sub(r"[\d.,]*\d", "0", " ".join(text.split()))


def run_shell(text):
    """Run the lines of a block; `[(line, why it was not run)]`.

    A line that is neither a command nor of SKIPPED is what the command before it shows; without one,
    the block is a picture of a folder or of an output.
    """
    shown, left_out = None, []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        reason = next((why for part, why in SKIPPED.items() if part in line), needs_extra(line))
        if not line.strip():
            continue
        if reason:
            left_out.append((line, reason))
        elif asked := list(commands(line)):
            shown = run_command(asked[0])
        elif shown is None:
            return [*left_out, (line, "is no command")]
        else:
            assert _loosely(line) in _loosely(shown), f"{line!r} is not in:\n{shown}"
    return left_out


def needs_extra(text):
    """Why a command or program cannot run here, or None."""
    from eesmm_keras.exports.formats import FORMATS

    wanted = re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
    for name in re.findall(r"--format (\w+)", text):
        wanted += FORMATS.get(name)().needs
    wanted += ["pyarrow"] if ".parquet" in text else []
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    return f"needs {', '.join(missing)}" if missing else None


def run_program(text, names):
    """Run a Python block in the names that the page takes for granted; None, or why not."""
    if "hf://" in text:
        return SKIPPED["hf://"]
    if "..." in text:
        return "leaves out what is the reader's own"
    if reason := needs_extra(text):
        return reason
    for word, small in REPLACED.items():
        text = re.sub(word, small, text)
    exec(compile(text, "<docs>", "exec"), names)
    return None


def run_page(page, folder, made):
    """Run a page in `folder`; `[(first line of what was not run, why)]`.

    Args:
        made: folder with the runs of RUNS.
    """
    wanted = PAGES[page]
    for name in wanted.data:
        getattr(docs_data, name)(folder)
    for run in wanted.runs:
        name, _, other = run.partition("=")
        shutil.copytree(made / (other or name), folder / name)
    names, left_out = {"__name__": "docs"}, []
    exec(wanted.names, names)
    for language, text in blocks(path_of(page)):
        if language in LANGUAGES:
            left_out.append((text.splitlines()[0], LANGUAGES[language]))
        elif language == "python":
            reason = run_program(text, names)
            left_out += [(text.splitlines()[0], reason)] if reason else []
        else:
            left_out += run_shell(text)
    return left_out


def make_runs(folder):
    """The runs that pages take for granted."""
    for name in ("photos", "labelled"):
        getattr(docs_data, name)(folder)
    for line in RUNS.values():
        run_shell(line)

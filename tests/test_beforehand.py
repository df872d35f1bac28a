"""What is wrong with a command is told before Keras and its backend are imported."""

import inspect
import json
import subprocess
import sys

import pytest

from eesmm_keras import backbones, methods
from eesmm_keras.backbones.presets import PRESETS
from eesmm_keras.errors import UserError
from eesmm_keras.outline import outline_of
from eesmm_keras.tasks import TASKS
from eesmm_keras.training.beforehand import check_places
from eesmm_keras.training.settings import resolve

CHILD = """
import contextlib, io, json, sys

from eesmm_keras.cli.main import main

sys.modules["keras"] = None  # whoever imports it is refused
for call in json.loads(sys.argv[1]):
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        try:
            main(call)
        except SystemExit as leave:
            heavy = [name for name in ("keras", "tensorflow", "torch", "jax") if sys.modules.get(name)]
            print(json.dumps([told.getvalue(), leave.code, heavy]))
"""
PRETRAIN = ["pretrain", "--data", "digits", "--out", "new"]
FINETUNE = ["finetune", "--data", "digits", "--out", "new", "--weights", "none"]
COMPARE = [
    "compare", "--data", "digits", "--out", "new", "--budget", "epochs=1", "--backbone", "swin_mini_32",
]  # fmt: skip
CONFIG = """
task: pretrain
backend: tensorflow
settings: {data: digits, out: there, epochs: 7, automatic: true}
derived: {batch_size: 64, steps_per_epoch: 10}
"""
# What is wrong, and what the message says of it.
REFUSED = [
    ([*PRETRAIN, "--method", "nope"], "Unknown method 'nope'"),
    ([*PRETRAIN, "--set", "mask_rati=0.5"], "Did you mean 'mask_ratio'?"),
    ([*PRETRAIN, "--set", "epochs=x"], "Setting epochs must be a whole number"),
    ([*PRETRAIN, "--recipe", "nope"], "Unknown recipe 'nope'"),
    ([*PRETRAIN, "--backbone", "swin_tinny"], "Did you mean 'swin_tiny'?"),
    ([*PRETRAIN, "--backbone", "vit_tiny:window=3"], "Unknown argument of vit_tiny 'window'"),
    ([*PRETRAIN, "--init-from", "nowhere"], "nowhere does not exist"),
    ([*PRETRAIN[:2], "nowhere", *PRETRAIN[3:]], "There is no folder 'nowhere'"),
    ([*PRETRAIN[:4], "other"], "other is not empty"),
    ([*PRETRAIN[:4], "there", "--epochs", "9"], "epochs is 7 there and 9 here"),
    ([*FINETUNE[:4], "there", *FINETUNE[5:]], "task is 'pretrain' there and 'finetune' here"),
    ([*FINETUNE, "--task", "nope"], "Unknown task 'nope'"),
    ([*FINETUNE, "--set", "mask_ratio=0.5"], "Unknown setting 'mask_ratio'"),
    ([*FINETUNE[:-1], "nowhere"], "nowhere does not exist"),
    (["doctor", "--data", "nowhere"], "There is no folder 'nowhere'"),
    (["evaluate", "--data", "digits", "--weights", "nowhere"], "nowhere does not exist"),
    (["predict", "--images", "nowhere", "--weights", "there", "--out", "x.csv"], "no folder 'nowhere'"),
    (["embed", "--images", "digits", "--weights", "there", "--out", "x.npy"], "has not finished"),
    ([*COMPARE, "--methods", "nope"], "Unknown method 'nope'"),
    ([*COMPARE, "--methods", "simmim:mask_rati=0.5"], "Did you mean 'mask_ratio'?"),
    ([*COMPARE, "--methods", "mae", "--set", "epoch=x"], "Did you mean 'epochs'?"),
    ([*COMPARE, "--methods", "mae", "--finetune-set", "epochs=x"], "epochs must be a whole number"),
    ([*COMPARE[:-2], "--backbone", "swin_tinny", "--methods", "mae"], "Did you mean 'swin_tiny'?"),
    (["compare", "--data", "nowhere", *COMPARE[3:], "--methods", "mae"], "no folder 'nowhere'"),
    (["benchmark", "--backbone", "swin_tinny"], "Did you mean 'swin_tiny'?"),
    (["benchmark", "--methods", "nope"], "Unknown method 'nope'"),
    (["benchmark", "--methods", "eesmm:num_mixd=3"], "Did you mean 'num_mixed'?"),
    (["reproduce", "nope", "--data", "digits", "--out", "new"], "Unknown table 'nope'"),
    (["reproduce", "eesmm_table1", "--data", "nowhere", "--out", "new"], "no folder 'nowhere'"),
    (["export", "--weights", "nowhere", "--format", "onnx", "--out", "x"], "nowhere does not exist"),
]  # fmt: skip


def test_refusals_import_no_backend(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "config.yaml").write_text(CONFIG)
    calls = json.dumps([call for call, _ in REFUSED])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, calls], cwd=tmp_path, capture_output=True, text=True
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(REFUSED), done.stderr
    for (call, words), (told, code, heavy) in zip(REFUSED, found, strict=True):
        assert words in told, call
        assert (code, told.count("\n"), heavy) == (2, 1, []), call
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("family", [methods.FAMILY, backbones.FAMILY], ids=lambda f: f.name)
def test_outlines_have_the_arguments_of_the_classes(family):
    for name in family.names():
        parameters = inspect.signature(family.get(name).__init__).parameters.values()
        known = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
        assert list(family.outline(name).arguments) == known


def test_outlines_have_the_defaults_of_tasks():
    for name in TASKS.names():
        assert TASKS.outline(name).values.get("defaults", {}) == TASKS.get(name).defaults


def test_presets_are_those_of_the_classes():
    found = {name: backbones.FAMILY.get(name).presets for name in backbones.FAMILY.names()}
    assert found == PRESETS


def test_what_only_an_import_would_tell_is_left_to_it(tmp_path, monkeypatch):
    for family in ("methods", "backbones"):
        (tmp_path / family).mkdir()
        (tmp_path / family / "mine.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setenv("EESMM_PLUGINS", str(tmp_path))
    options = {"data": "digits", "method": "mine"}
    settings = resolve("pretrain", None, ["size=3"], options, imports=False)
    assert settings.method_args == {"size": 3}
    backbones.check_name("mine_tiny:size=3")
    with pytest.raises(UserError, match="Unknown argument of swin_tiny 'size'"):
        backbones.check_name("swin_tiny:size=3")
    with pytest.raises(UserError, match="imported"):
        resolve("pretrain", None, ["size=3"], options)


@pytest.mark.parametrize(
    "text",
    ["", "class A:\n    pass\n", "class A:\n  def __init__(self): 0\nclass B:\n  x = 1\n", "("],
)
def test_text_that_does_not_tell_has_no_outline(text, tmp_path):
    (tmp_path / "file.py").write_text(text)
    assert outline_of(tmp_path / "file.py") is None


def test_places_that_are_there_are_taken(tmp_path):
    check_places("digits", tmp_path, "hf://anna/swin")
    check_places("tfds:cifar10", "photo-tiles", str(tmp_path / "later.onnx"))

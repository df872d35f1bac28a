"""`eesmm demo` with a few steps of training: the way through, its table, and what it refuses."""

from types import SimpleNamespace

import pytest

from eesmm_keras.cli import _demo
from eesmm_keras.errors import UserError
from eesmm_keras.training import settings
from eesmm_keras.training.finetuning import Finetune


@pytest.fixture
def few_steps(monkeypatch):
    whole = settings.resolve

    def resolve(kind, recipe, options):
        return whole(kind, recipe, options={**options, "epochs": 1, "steps_per_epoch": 1})

    monkeypatch.setattr(settings, "resolve", resolve)


def test_demo(few_steps, tmp_path, capsys):
    rows = _demo.run_demo(tmp_path / "demo", seed=1)
    # Frozen features and raw pixels beat guessing, one in sixteen, however little is trained.
    assert len(rows) == 6
    assert sum(value > 1 / 16 for value in rows.values()) >= 4
    printed = capsys.readouterr().out
    assert "5 labelled tiles per class, 960 test tiles" in printed
    for name, value in rows.items():
        assert f"{name:60} {value:8.4f}" in printed
    assert (tmp_path / "demo" / "classifier.onnx").exists()
    assert (tmp_path / "demo" / "classifier" / "saved_model.pb").exists()


def test_every_classifier_sees_the_same_labels(tmp_path):
    options = {"data": _demo.DATA, "weights": "none", "backbone": "swin_mini_32", "seed": 3}
    options["out"] = str(tmp_path / "run")
    asked = settings.resolve("finetune", "tiles_finetune", options=options)
    job = Finetune(asked, SimpleNamespace(replicas=1, hosts=1))
    tiles = _demo.labelled_tiles(asked)
    assert [tiles.describe(i) for i in range(80)] == [job.train.describe(i) for i in range(80)]
    assert len(tiles) == len(job.train) == 80


def test_demo_keeps_what_is_there(tmp_path):
    with pytest.raises(UserError, match="exists already"):
        _demo.run_demo(tmp_path)

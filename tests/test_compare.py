"""`eesmm compare`: budgets, tables, resuming; and a real comparison of two rows."""

import csv
import json

import keras
import pytest

from conftest import TINY_SWIN
from eesmm_keras.cli._options import names_callback
from eesmm_keras.comparison import compare
from eesmm_keras.comparison.cell import run_length
from eesmm_keras.errors import UserError
from eesmm_keras.training.settings import recipe_names, resolve


def test_budget_and_method_names():
    assert compare.parse_budget("epochs=3") == ("epochs", 3.0)
    assert compare.parse_budget("minutes=0.5") == ("minutes", 0.5)
    for wrong in ("epochs=1.5", "epochs", "hours=2", "epochs=-1", "minutes=x"):
        with pytest.raises(UserError, match="--budget takes"):
            compare.parse_budget(wrong)
    assert compare.parse_method("eesmm:num_mixed=3") == ("eesmm", {"num_mixed": 3})
    with pytest.raises(UserError, match="Unknown method"):
        compare.parse_method("esm")


def test_minutes_become_epochs_of_equal_length():
    # 4.8 epochs' worth of images.
    length = run_length(48_000, 48, 10_000)
    assert length == {"epochs": 5, "steps_per_epoch": 200}
    assert run_length(5, 48, 10_000) == {"epochs": 1, "steps_per_epoch": 1}
    assert run_length(960, 48, 10) == {"epochs": 20, "steps_per_epoch": 1}


def test_wrong_arguments_leave_nothing_behind(tmp_path):
    arguments = {"data": "digits", "methods": ("eesmm",), "budget": "epochs=1"}
    with pytest.raises(UserError, match="Unknown backbone"):
        compare.compare(tmp_path / "out", backbone="nothing", **arguments)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Choose another --out"):
        compare.compare(tmp_path / "file", backbone="swin_mini_32", **arguments)


def test_summary_is_mean_and_spread_over_seeds():
    cells = [{"knn": 0.5, "linear": 0.6, "seconds": 10.0}, {"knn": 0.7, "linear": 0.6}]
    row = compare.summary("x", cells)
    assert row["knn"] == 0.6
    assert row["knn_sd"] == pytest.approx(0.1414, abs=1e-4)
    assert row["seconds"] == 10.0
    assert row["seeds"] == 2


def test_every_recipe_resolves():
    for name in recipe_names():
        kind = "finetune" if "finetune" in name else "pretrain"
        settings = resolve(kind, name, options={"data": "digits", "out": "x"})
        assert settings.epochs > 0


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="every cell is a process of its own with the backend of the environment; once is enough",
)
def test_a_comparison_and_going_on_with_it(tmp_path, monkeypatch):
    arguments = {
        "data": "digits", "methods": ("greenmim:mask_ratio=0.5",), "backbone": TINY_SWIN,
        "budget": "epochs=1", "seeds": 1, "batch_size": 32, "limit": 64, "probe_limit": 100,
        "where": {"max_image_pixels": 10**6},
        "label_shares": (0.5,), "finetune_settings": {"epochs": 1, "steps_per_epoch": 2},
        "settings": {"flip": False},
    }  # fmt: skip
    rows = compare.compare(tmp_path, **arguments, say=lambda line: None)
    assert [row["method"] for row in rows] == ["none", "greenmim:mask_ratio=0.5"]
    table = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert float(table[1]["images_seen"]) == 64
    for measure in ("knn", "linear", "finetune_0.5"):
        assert 0 < float(table[1][measure]) <= 1
    assert (tmp_path / "accuracy.png").stat().st_size > 1000

    # A finished cell is not run again.
    cell = tmp_path / "cells" / "greenmim-mask_ratio=0.5-seed0.json"
    changed = {**json.loads(cell.read_text()), "knn": 0.123}
    cell.write_text(json.dumps(changed))
    monkeypatch.setattr(compare, "_run", lambda *_: pytest.fail("a finished cell ran again"))
    rows = compare.compare(tmp_path, **arguments, say=lambda line: None)
    assert rows[1]["knn"] == 0.123
    with pytest.raises(UserError, match="other settings"):
        compare.compare(tmp_path, **{**arguments, "batch_size": 16})


def test_lists_inside_a_method_s_arguments_stay_whole():
    text = "eesmm:mix_weights=[0.7,0.3]:mask_ratio=0.5, simmim"
    names = names_callback(None, None, text)
    assert names == ("eesmm:mix_weights=[0.7,0.3]:mask_ratio=0.5", "simmim")
    assert compare.parse_method(names[0]) == (
        "eesmm",
        {"mix_weights": [0.7, 0.3], "mask_ratio": 0.5},
    )

"""`eesmm compare`: budgets, seeds, labels, tables, evidence; and a real comparison of two rows."""

import csv
import json

import keras
import pytest

from conftest import TINY_SWIN
from eesmm_keras.backbones import from_preset
from eesmm_keras.cli._options import names_callback
from eesmm_keras.comparison import cell, compare, evidence, specs, table, workers
from eesmm_keras.comparison.counting import exposure, run_length
from eesmm_keras.data.sources import limit_source, open_source
from eesmm_keras.errors import UserError
from eesmm_keras.methods.eesmm import EESMM
from eesmm_keras.methods.greenmim import GreenMIM
from eesmm_keras.methods.simmim import SimMIM
from eesmm_keras.training.settings import recipe_names, resolve


def test_budgets():
    assert specs.parse_budgets("epochs=3") == [("epochs", 3.0)]
    assert specs.parse_budgets("minutes=0.5") == [("minutes", 0.5)]
    assert specs.parse_budgets("gmacs=800, gmacs=400") == [("gmacs", 400.0), ("gmacs", 800.0)]
    wrong = (
        "epochs=1.5",
        "epochs",
        "hours=2",
        "images=-1",
        "minutes=x",
        "gmacs=inf",
        "",
        "gmacs=nan",
    )
    for text in (*wrong, "images=5,epochs=1"):
        with pytest.raises(UserError, match="--budget takes"):
            specs.parse_budgets(text)


def test_method_names_and_numbers_written_in_two_ways():
    assert specs.parse_method("eesmm:num_mixed=3") == ("eesmm", {"num_mixed": 3})
    assert specs.parse_method("eesmm:learning_rate=2e-3")[1] == {"learning_rate": 0.002}
    with pytest.raises(UserError, match="Unknown method"):
        specs.parse_method("esm")


def test_seeds_and_labels():
    assert specs.parse_seeds("3") == [0, 1, 2]
    assert specs.parse_seeds("4,7") == [4, 7]
    assert specs.parse_seeds("4,") == [4]
    for wrong in ("0", "", "a", "1,1", "-1"):
        with pytest.raises(UserError, match="--seeds takes"):
            specs.parse_seeds(wrong)
    assert specs.parse_labels("5/class, 0.1") == ["5/class", "0.1"]
    assert specs.parse_labels("") == []
    for wrong in ("0/class", "5/classes", "1.5", "5", "x"):
        with pytest.raises(UserError, match="--labels takes"):
            specs.parse_labels(wrong)


def test_every_seed_draws_its_own_labels_so_many_of_each_class():
    source = open_source("digits", "train", labelled=True)
    drawn = [limit_source(source, per_class=5, seed=seed) for seed in (0, 1)]
    for part in drawn:
        assert [int((part.labels == label).sum()) for label in range(10)] == [5] * 10
    first, second = ({part.describe(i) for i in range(50)} for part in drawn)
    assert len(first & second) < 25


def test_images_become_epochs_of_equal_length():
    # 4.8 epochs' worth of images.
    length = run_length(48_000, 48, 10_000)
    assert length == {"epochs": 5, "steps_per_epoch": 200}
    assert run_length(5, 48, 10_000) == {"epochs": 1, "steps_per_epoch": 1}
    assert run_length(960, 48, 10) == {"epochs": 20, "steps_per_epoch": 1}


@pytest.mark.parametrize(
    ("method", "views", "encodings"),
    [("eesmm", 100, 50), ("greenmim", 100, 100), ("dmjd", 200, 200), ("mixmim", 200, 100)],
)
def test_what_an_encoder_sees(method, views, encodings):
    seen = exposure(method, {}, 100, macs=2e9)
    assert seen == {
        "images_seen": 100, "views_seen": views, "encodings": encodings, "gmacs": 200.0,
    }  # fmt: skip


def test_wrong_arguments_leave_nothing_behind(tmp_path):
    arguments = {"data": "digits", "methods": ("eesmm",), "budget": "epochs=1"}
    with pytest.raises(UserError, match="Unknown backbone"):
        compare.compare(tmp_path / "out", backbone="nothing", **arguments)
    arguments["backbone"] = "swin_mini_32"
    with pytest.raises(UserError, match="--jobs must lie between 1 and"):
        compare.compare(tmp_path / "out", jobs=10**6, **arguments)
    with pytest.raises(UserError, match="Unknown setting 'learning_rte'"):
        compare.compare(tmp_path / "out", settings={"learning_rte": 1}, **arguments)
    with pytest.raises(UserError, match="no such folder"):
        compare.compare(tmp_path / "out", evidence_folders=(tmp_path / "x",), **arguments)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Choose another --out"):
        compare.compare(tmp_path / "file", **arguments)


def test_paired_differences_have_student_s_interval():
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t(0.975, 2) = 4.3027.
    mean, half = table.paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.3027 / 3**0.5, abs=1e-4)
    assert table.paired_difference([2.0], [1.0]) == (1.0, None)


def test_summary_is_over_the_seeds_that_both_have():
    base = {0: {"knn": 0.4, "linear": 0.6}, 1: {"knn": 0.6, "linear": 0.6}}
    cells = {
        0: {"knn": 0.5, "linear": 0.6, "seconds": 10.0},
        1: {"knn": 0.7, "linear": 0.6},
        2: {"knn": 0.9, "linear": 0.6},
    }
    row = table.summary("x", "gmacs=1", cells, base)
    assert row["knn"] == pytest.approx(0.7)
    assert row["knn_sd"] == pytest.approx(0.2)
    assert row["knn_diff"] == pytest.approx(0.1)
    assert row["knn_low"] == row["knn_high"] == pytest.approx(0.1)
    assert (row["seconds"], row["seeds"]) == (10.0, 3)
    assert "70.0 ± 20.0, +10.0 [10.0, 10.0]" in table.markdown([row])
    assert table.summary("x", "", {0: {"linear": 0.6}}, {})["linear_diff"] is None


def relative_costs(name, **decoder):
    """Forward products of dense, GreenMIM and GreenMIM 0.875 over those of EESMM."""
    backbone, light = from_preset(name), {"mask_bank_size": 2, "seed": 0, **decoder}
    eesmm = EESMM(backbone, **light).macs()
    dense = SimMIM(backbone, seed=0).macs()
    green = [GreenMIM(backbone, mask_ratio=ratio, **light).macs() for ratio in (0.75, 0.875)]
    return [cost / eesmm for cost in (dense, *green)]


def test_the_proxy_costs_what_swin_tiny_costs_relative_to_eesmm():
    proxy = relative_costs("swin_proxy_64", decoder_dim=64, decoder_num_heads=4)
    assert proxy == pytest.approx(relative_costs("swin_tiny_224"), rel=0.1)
    assert proxy == pytest.approx([7.1, 2.0, 1.17], rel=0.01)


COMMON = {
    "data": {"classes": 10}, "backbone": "swin_fine_32:patch_size=4:window_size=8", "image_size": 64,
    "batch_size": 32, "limit": None, "probe_limit": 100, "labels": ["5/class"], "pretrain": {},
    "finetune": {},
}  # fmt: skip


def test_a_cell_is_matched_by_what_decides_its_result():
    def settings(method="eesmm", seed=0, **changes):
        return specs.settings_of({**COMMON, **changes}, method, ("gmacs", 1.0), seed)

    stored = settings()
    assert evidence.fits(stored, settings())
    assert evidence.fits(stored, settings("eesmm:mask_ratio=0.75"))
    assert evidence.fits(stored, settings(labels=[]))
    assert evidence.fits(stored, settings(pretrain={"checkpoint_every": "3 minutes"}))
    # The same encoder by another name.
    same = "swin_proxy_64:kernel_initializer=null"
    assert evidence.fits(stored, settings(backbone=same, image_size=None))
    for changed in (
        settings("eesmm:mask_ratio=0.5"), settings(seed=1), settings("greenmim"),
        settings(labels=["6/class"]), settings(pretrain={"learning_rate": 2e-3}),
        settings(backbone="swin_proxy_64"), settings(data={"classes": 11}), settings(batch_size=16),
        settings(finetune={"epochs": 3}),
    ):  # fmt: skip
        assert not evidence.fits(stored, changed)


def test_an_argument_that_is_newer_than_a_cell_must_have_its_default():
    wanted = specs.settings_of(COMMON, "eesmm", ("gmacs", 1.0), 0)
    stored = json.loads(json.dumps(wanted))
    del stored["arguments"]["mask_ratio"]
    assert evidence.fits(stored, wanted)
    assert not evidence.fits(
        stored, specs.settings_of(COMMON, "eesmm:mask_ratio=0.5", ("gmacs", 1.0), 0)
    )


def test_random_weights_are_one_cell_for_all_budgets():
    one = specs.settings_of(COMMON, "none", ("gmacs", 1.0), 0)
    assert one == specs.settings_of({**COMMON, "batch_size": 8}, "none", ("gmacs", 9.0), 0)


def test_files_that_are_no_cells_are_named(tmp_path):
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(UserError, match=r"x\.json is no finished cell"):
        evidence.read_cells(tmp_path)


def test_cores_are_shared_out():
    assert workers.split_cores([0, 1, 2, 3, 4], 2) == [[0, 1, 4], [2, 3]]
    assert workers.split_cores([], 1) == [[]]


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
        "budget": "images=64", "seeds": "1,", "batch_size": 32, "limit": 64, "probe_limit": 100,
        "where": {"max_image_pixels": 10**6},
        "labels": "3/class", "finetune_settings": {"epochs": 1, "steps_per_epoch": 2},
        "settings": {"flip": False}, "say": lambda line: None,
    }  # fmt: skip
    rows = compare.compare(tmp_path / "a", **arguments)
    assert [row["method"] for row in rows] == ["none", "greenmim:mask_ratio=0.5"]
    found = list(csv.DictReader((tmp_path / "a" / "results.csv").read_text().splitlines()))
    assert float(found[1]["images_seen"]) == float(found[1]["encodings"]) == 64
    assert float(found[1]["gmacs"]) > 0
    for measure in ("knn", "linear", "linear_stages", "finetune_3/class"):
        assert 0 < float(found[1][measure]) <= 1
    assert (tmp_path / "a" / "accuracy.png").stat().st_size > 1000

    # A finished cell is not run again: neither in the same folder nor from an evidence folder.
    monkeypatch.setattr(workers, "_run", lambda spec: pytest.fail("a finished cell ran again"))
    (path,) = (tmp_path / "a" / "cells").glob("greenmim*.json")
    content = json.loads(path.read_text())
    assert str(tmp_path) not in path.read_text()
    content["result"]["knn"] = 0.123
    path.write_text(json.dumps(content))
    assert compare.compare(tmp_path / "a", **arguments)[1]["knn"] == 0.123
    folders = (tmp_path / "a" / "cells",)
    rows = compare.compare(tmp_path / "b", **arguments, evidence_folders=folders)
    assert rows[1]["knn"] == 0.123


def test_lists_inside_a_method_s_arguments_stay_whole():
    text = "eesmm:mix_weights=[0.7,0.3]:mask_ratio=0.5, simmim"
    names = names_callback(None, None, text)
    assert names == ("eesmm:mix_weights=[0.7,0.3]:mask_ratio=0.5", "simmim")
    assert specs.parse_method(names[0]) == (
        "eesmm",
        {"mix_weights": [0.7, 0.3], "mask_ratio": 0.5},
    )


def test_a_budget_below_one_step_is_refused():
    spec = {
        "settings": {"budget": ["gmacs", 1.0], "batch_size": 32, "limit": None, "seed": 0},
        "data": "digits", "where": {},
    }  # fmt: skip
    with pytest.raises(UserError, match=r"less than a step of 32 images, which takes 3\.2 GMACs"):
        cell._length(spec, macs=1e8, speed=None)
    length = cell._length({**spec, "data": "digits"}, macs=1e7, speed=None)
    assert length == {"epochs": 1, "steps_per_epoch": 3}


def test_a_failed_cell_ends_the_comparison_after_what_was_done(monkeypatch):
    def run(spec):
        if spec["settings"]["seed"]:
            raise UserError("seed 1 failed: no more memory")
        return {"linear": 0.5}

    monkeypatch.setattr(workers, "_run", run)
    cells = [
        (("eesmm", ("gmacs", 1.0), seed), {"settings": {"seed": seed, "budget": ["gmacs", 1.0]}})
        for seed in (0, 1)
    ]
    lines = []
    results = workers.run_cells(cells, jobs=1, say=lines.append)
    assert next(results) == (("eesmm", ("gmacs", 1.0), 0), {"linear": 0.5})
    with pytest.raises(UserError, match="no more memory"):
        next(results)
    assert lines == ["eesmm, gmacs=1, seed 0", "eesmm, gmacs=1, seed 1"]

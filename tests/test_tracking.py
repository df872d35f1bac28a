"""Runs in experiment trackers: each is one there too, stopped or not."""

import csv
import importlib.util
import json

import pytest

from conftest import hide_package
from small_runs import DIGITS, command, stopped_after


def installed(*modules):
    return all(importlib.util.find_spec(module) for module in modules)


def test_a_tracker_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch):
    hide_package("wandb", monkeypatch)
    status, said = command(tmp_path / "run", *DIGITS, "--track", "wandb")
    assert status == 2
    assert "pip install 'eesmm-keras[wandb]'" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not installed("mlflow", "pandas"), reason="the extra mlflow is not installed")
def test_mlflow_has_the_same_curve_of_a_run_that_was_stopped(tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file://{tmp_path / 'store'}")
    run = tmp_path / "run"
    with stopped_after(3):
        assert command(run, *DIGITS, "--track", "mlflow")[0] == 75
    number = json.loads((run / "tracking.json").read_bytes())["mlflow"]
    assert mlflow.get_run(number).info.status == "KILLED"
    assert command(run, *DIGITS, "--track", "mlflow")[0] == 0
    (found,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert (found.info.run_id, found.info.status) == (number, "FINISHED")
    assert found.data.params["setting_method"] == "simmim"
    told = mlflow.MlflowClient().get_metric_history(number, "loss")
    with open(run / "metrics.csv", newline="") as file:
        kept = [float(row["loss"]) for row in csv.DictReader(file)]
    assert {metric.step: metric.value for metric in told} == pytest.approx(dict(enumerate(kept)))


@pytest.mark.skipif(not installed("wandb"), reason="the extra wandb is not installed")
def test_wandb_takes_a_run_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tmp_path / "run"
    assert command(run, *DIGITS, "--track", "wandb")[0] == 0
    number = json.loads((run / "tracking.json").read_bytes())["wandb"]
    assert list((run / "wandb").glob(f"offline-run-*-{number}"))

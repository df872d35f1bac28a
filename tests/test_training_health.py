"""Signs of a run that goes wrong: each is told where it holds, once, and nowhere else."""

import numpy as np
import pytest

from conftest import random_images
from eesmm_keras.evaluation.rank import effective_rank
from eesmm_keras.training.callbacks import MetricsFile
from eesmm_keras.training.health import (
    SIGNS,
    collapsed_features,
    falling_probe,
    flat_loss,
    slow_data,
    still_targets,
)
from eesmm_keras.training.health.watch import Health
from eesmm_keras.training.position import Position
from eesmm_keras.training.runs import Run
from small_runs import DIGITS, command, stopped_after


def rows(**columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize(
    ("sign", "bad", "good"),
    [
        (flat_loss, {"loss": [1, 1.01, 0.999, 1, 1]}, {"loss": [1, 0.997, 0.995, 0.993, 0.991]}),
        # Of a run with a learning rate of 0 on a handful of images; and a fall that soon ends.
        (
            flat_loss,
            {"loss": [22.42, 20.94, 21.78, 21.38, 22.04, 22.34]},
            {"loss": [22.42, 15.94, 15.78, 16.38, 15.04, 16.34]},
        ),
        (flat_loss, {"loss": [0.5] * 5}, {"loss": [0.5] * 4}),
        (falling_probe, {"knn_accuracy": [0.2, 0.6, 0.5]}, {"knn_accuracy": [0.2, 0.6, 0.56]}),
        (falling_probe, {"linear_accuracy": [0.9, 0.1]}, {"loss": [0.9, 0.1]}),
        (slow_data, {"data_wait": [0.0, 0.2, 0.11]}, {"data_wait": [0.2, 0.05, 0.2]}),
        (collapsed_features, {"effective_rank": [20, 4]}, {"effective_rank": [20, 6]}),
        (collapsed_features, {"effective_rank": [3, 1.5]}, {"effective_rank": [3, 2.5]}),
    ],
)
def test_a_sign_is_seen_where_it_is(sign, bad, good):
    assert sign.after_epoch(rows(**bad))
    assert sign.after_epoch(rows(**good)) is None


class _Model:
    class backbone:
        stride, grid = 4, (8, 8)


def test_images_of_one_colour_are_seen():
    images = random_images(4)
    assert still_targets.at_start(_Model, images) is None
    empty = images.copy()
    empty[:, :, :18] = 7
    assert "50% of the patches of 4 pixels" in still_targets.at_start(_Model, empty)
    assert "all the same" in still_targets.at_start(_Model, images[[0, 0]])


def test_effective_rank_counts_directions():
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((2000, 5)) @ np.linalg.qr(rng.standard_normal((16, 5)))[0].T
    assert effective_rank(directions + 100) == pytest.approx(5, abs=0.05)
    assert effective_rank(np.outer(rng.standard_normal(50), np.ones(16)) + 3) == pytest.approx(1)
    assert effective_rank(np.full((50, 16), 0.1, "float32")) == 0


def test_each_sign_is_told_once_however_often_the_run_is_stopped(tmp_path):
    run, said = Run(tmp_path), []
    metrics = MetricsFile(run.metrics_path)
    for epoch in range(12):
        if epoch % 3 == 0:  # begun again
            position = Position(1)
            position.step = epoch
            health = Health(run, np.zeros((2, 32, 32, 3)), position, said.append)
            health.set_model(_Model)
            health.on_train_begin()
        metrics.on_epoch_end(epoch, {"loss": 1.0, "data_wait": 0.5})
        health.on_epoch_end(epoch)
    assert [(name, when) for name, when, _ in run.warnings()] == [
        ("still_targets", "at the start"), ("slow_data", "after epoch 2"),
        ("flat_loss", "after epoch 5"),
    ]  # fmt: skip
    assert said == [f"Warning: {text}" for _, _, text in run.warnings()]
    assert {name for name, _, _ in run.warnings()} < set(SIGNS)


def test_a_run_logs_the_rank_beside_its_probe_and_goes_on_to_the_same(tmp_path):
    probed = [*DIGITS, "--probe-data", "digits", "--probe-every", "2"]
    status, text = command(tmp_path / "whole", *probed)
    assert status == 0, text
    run = Run(tmp_path / "whole")
    assert all(1 < row["effective_rank"] <= 16 for row in run.metrics())
    with stopped_after(3):
        assert command(tmp_path / "part", *probed)[0] == 75
    assert command(tmp_path / "part", *probed)[0] == 0
    for mine, whole in zip(Run(tmp_path / "part").metrics(), run.metrics(), strict=True):
        for name in ("loss", "knn_accuracy", "effective_rank"):
            assert mine[name] == whole[name]


def test_a_run_of_an_earlier_release_keeps_its_columns(tmp_path):
    run = Run(tmp_path)
    run.metrics_path.write_text("epoch,loss\n1,2.0\n")
    MetricsFile(run.metrics_path).on_epoch_end(1, {"effective_rank": 3.0, "loss": 1.5})
    assert run.metrics() == [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.5}]

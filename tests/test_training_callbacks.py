"""What a run shows and writes while it trains."""

import io
from types import SimpleNamespace

import keras
import numpy as np

from conftest import random_images, tiny_eesmm, to_numpy
from eesmm_keras.progress import track
from eesmm_keras.training.callbacks import (
    Callbacks,
    MetricsFile,
    Progress,
    RefreshMasks,
    run_callbacks,
)
from eesmm_keras.training.guard import LOOK_EVERY, Guard
from eesmm_keras.training.position import Position
from eesmm_keras.training.schedules import MAX_WARMUP, make_optimizer
from eesmm_keras.training.settings import PretrainSettings


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_masks_are_new_in_every_epoch(tmp_path):
    model = tiny_eesmm()
    model.compile(keras.optimizers.AdamW(1e-3))
    screen = io.StringIO()
    position = Position(steps=2)
    callbacks = [position, Progress(position, 4, 2, screen), RefreshMasks()]
    callbacks.append(MetricsFile(tmp_path / "m.csv"))
    model.fit(random_images(8), batch_size=4, epochs=2, verbose=0, callbacks=callbacks)
    [table] = model.derived_variables
    after = to_numpy(table)
    model.masking.refresh(epoch=0)
    assert (to_numpy(table) != after).any()
    model.masking.refresh(epoch=1)
    np.testing.assert_array_equal(to_numpy(table), after)

    first, *lines = screen.getvalue().splitlines()
    assert first.startswith("Building the first step")
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert all("images/s" in line and "ETA" in line and "loss" in line for line in lines)
    header, *rows = (tmp_path / "m.csv").read_text().splitlines()
    assert header.startswith("epoch,loss")
    assert [row.split(",")[0] for row in rows] == ["1", "2"]


def test_track_passes_batches_on_and_shows_them_to_a_terminal_only():
    batches = [(np.zeros((2, 1)), None)] * 3
    for stream, shown in ((io.StringIO(), False), (Terminal(), True)):
        assert list(track(iter(batches), 6, "reading", stream)) == batches
        assert ("reading 2/6" in stream.getvalue()) == shown


class Watched:
    """A number of the logs that counts how often it is read."""

    read = 0

    def __init__(self, value):
        self.value = value

    def __float__(self):
        Watched.read += 1
        return float(self.value)

    def __int__(self):
        return int(float(self))

    def __array__(self, dtype=None, copy=None):
        return np.array(float(self), dtype)


class Watch(keras.callbacks.Callback):
    """Puts such numbers in the place of a batch's logs, for the callbacks behind it."""

    def on_train_batch_end(self, batch, logs=None):
        logs["skipped"] = 0
        logs.update({name: Watched(value) for name, value in logs.items()})


def test_logs_of_a_batch_are_left_on_the_device(tmp_path):
    """A GPU stops for every number that is read. The guard reads one a step, some steps together."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    position, looked = Position(steps=2 * LOOK_EVERY), []
    folder = SimpleNamespace(metrics_path=tmp_path / "m.csv", tensorboard_path=tmp_path / "board")
    guard = Guard(position, tmp_path, 100, None)
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: looked.append(Watched.read)
    )
    plan = SimpleNamespace(batch_size=1, epochs=1)
    callbacks = [position, Watch(), *run_callbacks(folder, plan, position), guard, note]
    callbacks = Callbacks(callbacks, model, epochs=1, steps=2 * LOOK_EVERY)
    rows = np.ones((2 * LOOK_EVERY, 2))
    model.fit(rows, rows[:, :1], batch_size=1, verbose=0, callbacks=callbacks)
    assert looked == [0] * (LOOK_EVERY - 1) + [LOOK_EVERY] * LOOK_EVERY + [2 * LOOK_EVERY]
    assert (tmp_path / "m.csv").exists()


def test_learning_rate_warms_up_and_falls():
    settings = PretrainSettings(
        epochs=10, batch_size=256, accumulate=2, learning_rate=1e-3, min_learning_rate=1e-5,
        warmup_learning_rate=1e-6, warmup_epochs=1,
    )  # fmt: skip
    model = tiny_eesmm()
    schedule = make_optimizer(settings, model, steps_per_epoch=20)._learning_rate
    rates = [float(schedule(step)) for step in range(201)]
    assert rates[0] == np.float32(1e-6)
    assert np.argmax(rates) == 20
    np.testing.assert_allclose(rates[20], 1e-3, rtol=1e-5)
    np.testing.assert_allclose(rates[-1], 1e-5, rtol=1e-2)
    settings = settings.replaced(warmup_epochs=9)
    schedule = make_optimizer(settings, model, steps_per_epoch=20)._learning_rate
    assert np.argmax([float(schedule(step)) for step in range(201)]) == MAX_WARMUP * 200

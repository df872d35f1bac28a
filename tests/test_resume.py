"""A run that is stopped and goes on ends as if nothing had happened; what it writes is whole."""

import os
import resource
import signal
import threading

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from conftest import TINY_SWIN, tiny_backbone, to_numpy
from eesmm_keras import ImageClassifier, LayerDecayAdamW
from eesmm_keras.cli import main as cli
from eesmm_keras.errors import Interrupted, UserError
from eesmm_keras.saving import load_model
from eesmm_keras.training import loop
from eesmm_keras.training.checkpoints import Checkpoints, restore
from eesmm_keras.training.runs import Run
from eesmm_keras.training.settings import parse_interval

DECODER = ["--set", "decoder_dim=32", "--set", "decoder_num_heads=4"]
RUNS = {
    "pretrain": ["--set", "mask_bank_size=4", *DECODER],
    "finetune": ["--weights", "none", "--set", "ema_momentum=0.9", "--set", "drop_path=0.2"],
}
RUNS["finetune"] += ["--set", "val_limit=20", "--set", "mixup_alpha=0.8"]
COMMON = ["--data", "digits", "--backbone", TINY_SWIN, "--epochs", "2", "--batch-size", "8"]
COMMON += ["--steps-per-epoch", "4", "--accumulate", "2"]


def eesmm(kind, out):
    arguments = [kind, *COMMON, *RUNS[kind], "--out", str(out)]
    result = CliRunner().invoke(cli.group, arguments)
    if result.exception:
        raise result.exception
    return result.output


def curve(run):
    """metrics.csv without what depends on the clock."""
    lines = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    kept = [i for i, name in enumerate(lines[0]) if name not in ("images_per_second", "data_wait")]
    return [[row[i] for i in kept] for row in lines]


class StopAfter(loop.StopSignals):
    """A signal that comes while a certain step runs."""

    step = 3
    looks = 0

    @property
    def received(self):
        # The saver looks once a step.
        StopAfter.looks += 1
        return "SIGTERM" if StopAfter.looks >= StopAfter.step else ""

    @received.setter
    def received(self, value):
        pass


# Compiling takes most of the time on JAX; fine-tuning has all there is to resume but a mask bank.
@pytest.mark.parametrize("kind", ["finetune"] if keras.backend.backend() == "jax" else list(RUNS))
def test_a_stopped_run_ends_like_an_undisturbed_one(kind, tmp_path, monkeypatch):
    """Stopped in the middle of an epoch, between two micro-batches of an update."""
    eesmm(kind, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "StopSignals", StopAfter)
        patch.setattr(StopAfter, "looks", 0)
        with pytest.raises(Interrupted, match=r"after step 3.*goes on from there"):
            eesmm(kind, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "model.keras").exists()
    assert "Going on from step 3 of 8" in eesmm(kind, tmp_path / "stopped")
    assert curve(tmp_path / "whole") == curve(tmp_path / "stopped")
    models = [load_model(tmp_path / name / "model.keras") for name in ("whole", "stopped")]
    for a, b in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def test_the_same_folder_takes_the_same_command_only(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "StopSignals", StopAfter)
    monkeypatch.setattr(StopAfter, "looks", 0)
    with pytest.raises(Interrupted):
        eesmm("finetune", tmp_path / "run")
    monkeypatch.setitem(RUNS, "finetune", [*RUNS["finetune"], "--seed", "5"])
    with pytest.raises(UserError, match="seed is 0 there and 5 here"):
        eesmm("finetune", tmp_path / "run")


@pytest.mark.parametrize("text", ["", "epoch,lo"])
def test_metrics_that_were_never_whole_are_forgotten(text, tmp_path):
    run = Run(tmp_path)
    run.metrics_path.write_text(text)
    run.forget_after(0)
    assert not run.metrics_path.exists()


def test_metrics_of_epochs_that_come_again_are_taken_back(tmp_path):
    run = Run(tmp_path)
    run.metrics_path.write_text("epoch,loss\n1,0.5\n2,0.4\n3,0.")
    run.forget_after(3)
    assert run.metrics_path.read_text() == "epoch,loss\n1,0.5\n2,0.4\n"
    run.forget_after(1)
    assert run.last_metrics() == {"epoch": "1", "loss": "0.5"}


def test_signals_are_noted_and_the_old_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with loop.StopSignals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_first_signal_is_answered_at_once_and_the_second_obeyed():
    """By another thread: the main one may be in a long step."""
    said, told = [], threading.Event()

    def say(line):
        assert threading.current_thread() is not threading.main_thread()
        said.append(line)
        told.set()

    with loop.StopSignals(say) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert told.wait(60)
        assert stop.received == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert said == ["\nStopping after this step, with a checkpoint. Ctrl-C again stops at once."]
    assert signal.set_wakeup_fd(-1) == -1
    assert not any(thread.name == "stop signals" for thread in threading.enumerate())


def test_exit_code_of_an_interrupted_run(monkeypatch, capsys):
    def stop(*args, **kwargs):
        raise Interrupted("Stopped by SIGTERM")

    monkeypatch.setattr(cli.group, "main", stop)
    with pytest.raises(SystemExit) as leave:
        cli.main()
    assert leave.value.code == 75
    assert capsys.readouterr().err == "Stopped by SIGTERM\n"


# === Checkpoint files ===


def small_model(seed=0):
    keras.utils.set_random_seed(seed)
    model = ImageClassifier(tiny_backbone(depths=(1, 1)), 3)
    optimizer = LayerDecayAdamW(1e-3)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
    return model


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        data = data[: len(data) // 2]
    elif how == "empty":
        data = b""
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["truncated", "empty", "one bit"])
def test_a_damaged_checkpoint_is_passed_over(how, tmp_path):
    model, checkpoints, said = small_model(), Checkpoints(tmp_path, keep=2), []
    for step in (1, 2, 3):
        model.head.bias.assign([step, step, step])
        checkpoints.save(step, model, {"model": "x"})
    newest, older = checkpoints.paths()
    damage(newest, how)
    arrays, facts = checkpoints.load(model, said.append)
    assert facts["step"] == 2
    assert newest.name in said[0]
    other = small_model(seed=1)
    restore(other, arrays)
    np.testing.assert_array_equal(to_numpy(other.head.bias), 2.0)
    damage(older, how)
    with pytest.raises(UserError, match="None of the checkpoints"):
        checkpoints.load(model, said.append)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, small_model(), {})
    other = ImageClassifier(tiny_backbone(depths=(1, 1)), 5)
    other.compile(LayerDecayAdamW(1e-3), "mse")
    with pytest.raises(UserError, match="another model"):
        checkpoints.load(other)


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path):
    """The system refuses to let a file grow: what was there before stays, nothing else does."""
    model, checkpoints = small_model(), Checkpoints(tmp_path)
    checkpoints.save(1, model, {})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"Cannot write a checkpoint.*last good one is"):
            checkpoints.save(2, model, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == ["step_000000001.npz"]
    assert checkpoints.load(model)[1]["step"] == 1


def test_a_folder_that_vanished_is_named(tmp_path):
    with pytest.raises(UserError, match=r"Cannot write a checkpoint.*No such file"):
        Checkpoints(tmp_path / "gone").save(1, small_model(), {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500", ("steps", 500)), ("10 minutes", ("minutes", 10)), ("0.5 min", ("minutes", 0.5)),
     ("2 epochs", ("epochs", 2)), ("0", None), ("1.5", None), ("3 days", None), ("x", None),
     ("nan minutes", None)],
)  # fmt: skip
def test_intervals(text, expected):
    if expected:
        assert parse_interval(text) == expected
    else:
        with pytest.raises(UserError, match="checkpoint_every"):
            parse_interval(text)

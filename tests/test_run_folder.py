"""A run's folder belongs to one command, however it is written, and to one process at a time."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
import yaml
from PIL import Image

from eesmm_keras.errors import UserError
from eesmm_keras.training.run_config import asked_config, read_config
from eesmm_keras.training.run_lock import RunLock
from eesmm_keras.training.runs import Run
from small_runs import DIGITS, command, stopped_after

HOST = socket.gethostname()
DERIVED = {"batch_size": 4, "steps_per_epoch": 2}
HOLD = """
import sys, time
from eesmm_keras.training.run_lock import RunLock
from pathlib import Path
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def owner(tmp_path):
    """A process that holds the lock of tmp_path/run."""
    (tmp_path / "run").mkdir()
    lock = tmp_path / "run" / "lock"
    child = subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.communicate()


def test_a_second_process_is_refused_until_the_first_is_dead(owner, tmp_path):
    status, told = command(tmp_path / "run")
    assert status == 2
    assert f"in use: process {owner.pid} on {HOST} writes this run since 20" in told
    assert os.listdir(tmp_path / "run") == ["lock"]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert (tmp_path / "run" / "lock").read_text()
    status, told = command(tmp_path / "run")
    assert status == 0
    assert f"left by process {owner.pid} on {HOST}" in told
    assert not (tmp_path / "run" / "lock").exists()
    # A finished run is nobody's.
    (tmp_path / "run" / "lock").write_text("{}")
    with RunLock(tmp_path / "run" / "lock"):
        assert "nothing to do" in command(tmp_path / "run")[1]


@pytest.fixture
def no_locks():
    """A file system that knows no locks."""
    with mock.patch("fcntl.flock", side_effect=OSError(errno.ENOLCK, "No locks available")):
        yield


def test_without_locks_the_owner_named_in_the_file_counts(no_locks, owner, tmp_path):
    path = tmp_path / "run" / "lock"
    with pytest.raises(UserError, match=rf"process {owner.pid} on .* remove {path}"), RunLock(path):
        pass
    owner.kill()
    owner.wait()
    with RunLock(path) as lock:
        assert lock.left_by == f"process {owner.pid} on {HOST}"
    path.write_text(json.dumps({"host": "elsewhere", "pid": owner.pid}))
    with pytest.raises(UserError, match="on elsewhere"), RunLock(path):
        pass


def test_a_lock_that_is_removed_while_one_waits_for_it_is_made_anew(tmp_path):
    path, original = tmp_path / "lock", os.open
    opened = []

    def late(where, flags, mode):
        descriptor = original(where, flags, mode)
        opened.append(descriptor)
        if len(opened) == 1:
            path.unlink()  # its owner has ended
        return descriptor

    with mock.patch("os.open", late), RunLock(path):
        assert path.exists()
    assert len(opened) == 2


# === One run, written in many ways ===


def begin(out, **settings):
    asked = asked_config("pretrain", {"epochs": 3, "out": str(out), **settings})
    with Run(out).opened(asked, DERIVED) as unfinished:
        return unfinished


@pytest.mark.parametrize("out", ["runs/a/", "./runs/a", "absolute"])
@pytest.mark.parametrize("data", ["photos", "photos/", "./photos", "../here/photos", "absolute"])
def test_the_same_paths_in_other_words_are_the_same_run(out, data, tmp_path, monkeypatch):
    (tmp_path / "here" / "photos").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert begin("runs/a", data="photos", weights="none")
    out = os.path.abspath("runs/a") if out == "absolute" else out
    data = os.path.abspath("photos") if data == "absolute" else data
    assert begin(out, data=data, weights="none")
    monkeypatch.chdir(tmp_path)
    assert begin("here/runs/a", data="here/photos", weights="none")
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="data is 'photos' there and 'other' here"):
        begin("here/runs/a", data="other", weights="none")


def test_a_run_may_be_moved(tmp_path):
    assert begin(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert begin(tmp_path / "b")


def test_more_epochs_are_another_run(tmp_path):
    begin(tmp_path, epochs=3)
    for finished in (False, True):
        if finished:
            (tmp_path / "model.keras").touch()
        with pytest.raises(
            UserError, match=r"epochs is 3 there and 9 here.*To train longer.*--init-"
        ):
            begin(tmp_path, epochs=9)


def test_a_finished_run_has_nothing_left_to_do(tmp_path):
    from conftest import tiny_backbone
    from eesmm_keras import ImageClassifier

    assert begin(tmp_path / "run")
    run = Run(tmp_path / "run")
    assert run.checkpoints.is_dir()
    run.finish(ImageClassifier(tiny_backbone(depths=(1, 1)), 3))
    assert not begin(tmp_path / "run")
    assert not run.checkpoints.exists()


# === What followed from the data ===


def test_config_tells_what_was_asked_and_apart_from_it_what_followed(tmp_path):
    begin(tmp_path, batch_size=64, steps_per_epoch=None)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["settings"]["batch_size"] == 64
    assert config["settings"]["steps_per_epoch"] is None
    assert config["derived"] == DERIVED


def test_a_config_of_an_earlier_release_goes_on(tmp_path):
    """It held derived numbers among the settings."""
    filled = {"batch_size": 60, "steps_per_epoch": 7, "image_size": 32, "backbone": "swin_mini_32"}
    old = {"task": "pretrain", "backend": asked_config("pretrain", {}).backend}
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({**old, "settings": {**filled, "seed": 0}})
    )
    asked = {"batch_size": 64, "steps_per_epoch": None, "image_size": None, "backbone": None}
    begun = Run(tmp_path).begun_with(asked_config("pretrain", {**asked, "seed": 0}))
    assert begun.derived == filled
    assert Run(tmp_path).begun_with(asked_config("pretrain", {**filled, "seed": 0}))
    for key, value in {"batch_size": 32, "steps_per_epoch": 8, "seed": 1}.items():
        with pytest.raises(UserError, match=f"{key} is"):
            Run(tmp_path).begun_with(asked_config("pretrain", {**asked, "seed": 0, key: value}))


def test_a_setting_that_came_with_a_later_release_has_its_default_in_a_config_before(tmp_path):
    begin(tmp_path, batch_size=64)
    defaults = {"rotation": 0}
    same = {"epochs": 3, "out": "", "batch_size": 64, "rotation": 0}
    assert Run(tmp_path).begun_with(asked_config("pretrain", same, defaults))
    with pytest.raises(UserError, match="rotation is 0 there and 5 here"):
        Run(tmp_path).begun_with(asked_config("pretrain", {**same, "rotation": 5}, defaults))


def test_a_run_goes_on_after_images_were_added_and_after_some_were_removed(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()

    def add(first, last):
        for number in range(first, last):
            pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), "uint8")
            Image.fromarray(pixels).save(photos / f"{number:02d}.png")

    add(0, 12)
    with stopped_after(1):
        assert command(tmp_path / "run", "--data", str(photos))[0] == 75
    add(12, 20)
    with stopped_after(1):
        assert command(tmp_path / "run", "--data", str(photos))[0] == 75
    for number in range(17):
        (photos / f"{number:02d}.png").unlink()
    status, told = command(tmp_path / "run", "--data", str(photos))
    assert status == 0
    # The second part of the run wrote a checkpoint that knows of 20 images.
    assert "Images before: 20, and now: 3" in told
    assert "Going on from step 2 of 6" in told
    assert read_config(tmp_path / "run" / "config.yaml").derived["steps_per_epoch"] == 3


def test_the_command_tells_other_settings_before_it_reads_the_data(tmp_path):
    begin(tmp_path / "run")
    with mock.patch("eesmm_keras.training.pretraining.open_images", side_effect=AssertionError):
        status, told = command(tmp_path / "run", *DIGITS)
    assert status == 2
    assert "other settings" in told

"""A method and an encoder, each one file in a folder of plug-ins, go through the real commands."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from conftest import TINY_SWIN, random_images
from eesmm_keras import backbones, methods
from eesmm_keras.cli import main as cli
from eesmm_keras.methods.method import MaskedImageModel
from examples import install

QUICK = ["--data", "digits", "--epochs", "1", "--steps-per-epoch", "2", "--batch-size", "8"]


def eesmm(*args):
    """Output of a command that must succeed."""
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    assert result.exit_code == 0, f"{result.output} {result.exception!r}"
    return result.output


def test_a_method_of_one_file_pretrains_and_reconstructs(tmp_path, monkeypatch):
    install("methods/grey.py", tmp_path / "plugins", monkeypatch)
    assert "grey" in eesmm("list", "methods")
    run = tmp_path / "run"
    eesmm("pretrain", "--method", "grey", "--backbone", TINY_SWIN, *QUICK, "--out", run)
    assert (run / "model.keras").is_file()
    (tmp_path / "images").mkdir()
    for number, image in enumerate(random_images(2)):
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
    eesmm(
        "reconstruct", "--weights", run, "--images", tmp_path / "images",
        "--out", tmp_path / "grey.png",
    )  # fmt: skip
    assert (tmp_path / "grey.png").is_file()
    eesmm("evaluate", "--weights", run, "--data", "digits", "--mode", "knn")
    without = {key: value for key, value in os.environ.items() if key != "EESMM_PLUGINS"}
    command = ["embed", "--weights", run, "--images", tmp_path / "images"]
    told = subprocess.run(
        [sys.executable, "-m", "eesmm_keras.cli.main", *command, "--out", tmp_path / "grey.npy"],
        env=without, capture_output=True, text=True,
    )  # fmt: skip
    assert told.returncode == 2
    assert "needs the class Grey" in told.stderr
    assert "EESMM_PLUGINS" in told.stderr


def test_an_encoder_of_one_file_goes_all_the_way(tmp_path, monkeypatch):
    install("backbones/mixer.py", tmp_path / "plugins", monkeypatch)
    assert "mixer_tiny" in eesmm("list", "backbones")
    run, tuned = tmp_path / "run", tmp_path / "tuned"
    small = ["--set", "decoder_dim=32", "--set", "decoder_num_heads=4", "--set", "mask_bank_size=4"]
    eesmm("pretrain", "--backbone", "mixer_tiny", *QUICK, *small, "--out", run)
    eesmm("finetune", "--weights", run, *QUICK, "--out", tuned)
    if keras.backend.backend() == "tensorflow":
        eesmm("export", "--weights", tuned, "--format", "savedmodel", "--out", tmp_path / "out")
        assert any((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", methods.names())
def test_an_encoder_of_one_file_trains_under_every_method(name, tmp_path, monkeypatch):
    install("backbones/mixer.py", tmp_path, monkeypatch)
    backbone, cls = backbones.from_preset("mixer_tiny"), methods.get(name)
    assert issubclass(cls, MaskedImageModel)
    small = {"decoder_dim": 16, "decoder_num_heads": 2, "mask_bank_size": 4, "decoder_depth": 1}
    known = cls.__init__.__code__.co_varnames
    small = {key: value for key, value in small.items() if key in known}
    if name == "mixmim":
        with pytest.raises(ValueError, match="has no sides"):
            cls(backbone, **small)
        return
    model = cls(backbone, **small, seed=1)
    model.compile("adamw", run_eagerly=True)
    assert np.isfinite(np.ravel(model.train_on_batch(random_images(4)))).all()
    assert model.macs() > 0

"""Every task keeps its contract, and a task of one's own is one file."""

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from conftest import TINY_SWIN, random_images, to_numpy
from eesmm_keras import load_model
from eesmm_keras.backbones import from_preset
from eesmm_keras.cli import main as cli
from eesmm_keras.data.sources import open_source
from eesmm_keras.errors import UserError
from eesmm_keras.tasks import TASKS
from eesmm_keras.training.evaluating import scores
from eesmm_keras.training.settings import resolve
from examples import install

TENSORFLOW = keras.backend.backend() == "tensorflow"


def eesmm(*args):
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


@pytest.mark.parametrize("name", TASKS.names())
def test_every_task_keeps_its_contract(name, tmp_path):
    source = open_source("digits", "test")
    model = TASKS.get(name).for_source(from_preset(TINY_SWIN), source)
    images = random_images(3)
    outputs = model.named(model(images))
    assert set(outputs) == set(model.output_descriptions)
    assert all(keras.backend.standardize_dtype(x.dtype) == "float32" for x in outputs.values())
    targets = np.asarray(model.targets(source.labels[:3]))
    assert (targets.dtype, len(targets)) == (np.float32, 3)

    model.compile_for(resolve("finetune", options={"data": "digits"}), keras.optimizers.SGD(1.0))
    model.build_metrics()
    count = len(model.variables)
    before = [to_numpy(v).copy() for v in model.trainable_variables]
    model.fit(images, targets, batch_size=3, verbose=0)
    assert len(model.variables) == count  # a checkpoint of the first step holds them all
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert (to_numpy(variable) != old).any(), variable.path

    few = source.take(range(20))
    found = scores(model, few, 8)
    assert found
    assert all(np.isfinite(value) for value in found.values())
    model.save(tmp_path / "task.keras")
    again = load_model(tmp_path / "task.keras")
    assert again.class_names == source.class_names
    assert scores(again, few, 20) == pytest.approx(found, abs=1e-4)
    few.class_names = ("a", "b")
    with pytest.raises(UserError, match=r"The classes of digits \(a, b\) are not those.*\(0, 1, 2"):
        model.check_source(few)


@pytest.mark.skipif(not TENSORFLOW, reason="commands, an export among them: once is enough")
def test_a_task_of_ones_own_is_tuned_evaluated_and_exported(tmp_path, monkeypatch):
    install("tasks/class_number.py", tmp_path / "plugins", monkeypatch)
    run, out = tmp_path / "run", tmp_path / "model.onnx"
    text = eesmm("finetune", "--data", "digits", "--weights", "none", "--out", run, "--task",
                 "class_number", "--backbone", TINY_SWIN, "--set", "limit=96", "--batch-size", "16",
                 "--epochs", "2", "--set", "learning_rate=0.01", "--set", "val_limit=40",
                 "--set", "cutmix_alpha=1.0")  # fmt: skip
    assert "Validation mean absolute error " in text
    header = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"loss", "mae", "val_loss", "val_mae"} <= set(header)

    text = eesmm("evaluate", "--data", "digits", "--weights", run)
    value = float(text.split("mean absolute error ")[1].split()[0])
    assert 0.5 < value < 4  # the best constant is 2.5 away
    assert text.endswith("on 359 images\n")

    text = eesmm("export", "--weights", run, "--format", "onnx", "--out", out, "--data", "digits")
    assert "number (batch, 1): differs from Keras by at most" in text
    import onnxruntime

    metadata = onnxruntime.InferenceSession(out).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["outputs"])["number"]["description"].startswith("position on the")
    assert json.loads(metadata["class_names"]) == list("0123456789")


def test_an_unknown_task_is_told(tmp_path):
    with pytest.raises(UserError, match=r"Unknown task 'clasifier'.*Known: image_classifier"):
        eesmm("finetune", "--data", "digits", "--weights", "none", "--out", tmp_path / "run",
              "--task", "clasifier")  # fmt: skip


def test_weights_with_nan_are_told_when_a_model_is_scored():
    source = open_source("digits", "test").take(range(8))
    model = TASKS.get("image_classifier").for_source(from_preset(TINY_SWIN), source)
    model.head.bias.assign(np.full(10, np.nan))
    with pytest.raises(UserError, match="outputs are not finite"):
        scores(model, source)

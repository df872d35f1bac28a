"""Several devices and several hosts train like one: child processes, see parallel_runs.py."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from parallel_runs import tiny_pretrain

from conftest import one_hot
from eesmm_keras.data.pipeline import labelled_dataset, pretrain_dataset
from eesmm_keras.data.sources import open_source
from eesmm_keras.errors import UserError
from eesmm_keras.training.devices import Devices, parse_devices, use_devices
from eesmm_keras.training.settings import resolve
from hosts import finish, start, start_hosts

BACKEND = keras.backend.backend()
# Compiling takes most of the time on JAX. The other methods draw their numbers in the same code as
# these (`python parallel_runs.py replicas` runs all).
METHODS = (
    "eesmm",
    "mixmim",
    "contrastive",
    "classifier",
    "segmenter",
    "detector",
    "float16",
    "clip",
)
if BACKEND == "jax":
    METHODS = ("eesmm", "classifier")

not_torch = pytest.mark.skipif(BACKEND == "torch", reason="one device on PyTorch")


@not_torch
def test_two_devices_train_like_one():
    """Masks, views, drop path and dropout included: every loss, and the weights at the end."""
    (output,) = finish(start("replicas", *METHODS))
    runs = [json.loads(line) for line in output.splitlines() if line.startswith('{"case"')]
    assert [run["case"] for run in runs] == list(METHODS)
    for run in runs:
        np.testing.assert_allclose(run["several"], run["one"], rtol=1e-5, err_msg=run["case"])
        assert run["weights"] < 1e-5, run


@pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow")
def test_accumulation_on_several_devices_is_refused():
    from eesmm_keras.training.devices.tensorflow import TensorFlowDevices

    devices = TensorFlowDevices(SimpleNamespace(num_replicas_in_sync=2))
    with pytest.raises(UserError, match=r"accumulate=2 does not work.*KERAS_BACKEND=jax"):
        devices.check_settings(SimpleNamespace(accumulate=2))
    devices.check_settings(SimpleNamespace(accumulate=1))


@not_torch
def test_two_hosts_train_like_one(tmp_path):
    """Two processes on loopback: one run folder, one set of weights, and those of one process."""
    hosts = start_hosts(2, tmp_path, "pretrain")
    alone = tiny_pretrain(tmp_path)
    chief, other = finish(*hosts)

    assert "epoch 2/2" in chief
    assert "epoch" not in other
    assert (tmp_path / "run" / "model.keras").is_file()
    assert len(list((tmp_path / "run" / "tensorboard" / "train").iterdir())) == 1
    first, second, single = (np.load(tmp_path / f"weights_{i}.npz") for i in ("0", "1", "alone"))
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_allclose(first[name], single[name], atol=1e-5)
    rows = [_metrics(path) for path in (tmp_path / "run", alone.path)]
    np.testing.assert_allclose(*rows, rtol=1e-4)


def _metrics(folder):
    lines = (folder / "metrics.csv").read_text().splitlines()
    place = lines[0].split(",").index("loss")
    return [float(line.split(",")[place]) for line in lines[1:]]


def test_shards_are_the_parts_of_the_batch():
    source = open_source("digits", labelled=True)
    options = {"steps": 3, "start_step": 1, "seed": 5}
    whole = list(pretrain_dataset(source, 8, 12, group=2, **options).as_numpy_iterator())
    parts = [
        list(pretrain_dataset(source, 8, 12, group=2, shard=(i, 3), **options).as_numpy_iterator())
        for i in range(3)
    ]
    assert len(whole) == 2
    for batch, *pieces in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(batch, np.concatenate(pieces))
    images, labels = next(iter(labelled_dataset(source, 8, 12, targets=one_hot(10), **options)))
    images_1, labels_1 = next(
        iter(labelled_dataset(source, 8, 12, targets=one_hot(10), shard=(1, 3), **options))
    )
    np.testing.assert_array_equal(images[4:8], images_1)
    np.testing.assert_array_equal(labels[4:8], labels_1)


def test_validation_batches_are_filled_up_and_weighted():
    """Weighted means over all batches are means over the images, also as Keras takes them."""
    import tensorflow as tf

    devices = Devices(replicas=2)
    x = np.arange(1, 11, dtype="float32")[:, None]
    dataset = tf.data.Dataset.from_tensor_slices((x, x)).batch(4)
    batches = list(devices.feed_validation(dataset, 10, 4).as_numpy_iterator())
    assert [len(batch[0]) for batch in batches] == [4, 4, 4]
    weights = np.concatenate([batch[2] for batch in batches])
    values = np.concatenate([batch[0][:, 0] for batch in batches])
    assert (weights * values).mean() == pytest.approx(x.mean())
    assert (weights * values).sum() / weights.sum() == pytest.approx(x.mean())
    assert Devices().feed_validation(dataset, 10, 4) is dataset


def test_devices_are_parsed():
    assert parse_devices() == (None, None)
    assert parse_devices("cpu:2") == ("cpu", 2)
    assert parse_devices(gpus=4) == parse_devices("gpu:4") == ("gpu", 4)
    for wrong in ("cpu", "cpu:0", "tpu:2", "2"):
        with pytest.raises(UserError, match="cpu:N or gpu:N"):
            parse_devices(wrong)
    with pytest.raises(UserError, match="give one of them"):
        parse_devices("cpu:2", gpus=2)


@pytest.mark.parametrize("options", [{"devices": "cpu:64"}, {"coordinator": "a:1", "num_hosts": 2,
                                                             "host_index": 0}])  # fmt: skip
def test_what_the_backend_cannot_do(options):
    """Devices that come too late for this process, which has computed already; several on torch."""
    if BACKEND != "torch" and "coordinator" in options:
        pytest.skip("TensorFlow and JAX can")
    keras.ops.ones(1)
    expected = "TensorFlow or the JAX backend" if BACKEND == "torch" else "has started"
    settings = resolve("pretrain", options={"data": "digits", "out": "x", **options})
    with pytest.raises(UserError, match=expected), use_devices(settings):
        pass

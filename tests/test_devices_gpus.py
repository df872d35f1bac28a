"""Which GPUs TensorFlow sees and how much of their memory it takes; tried without any."""

import sys
import types

import keras
import pytest

from eesmm_keras import gpus
from eesmm_keras.errors import UserError
from eesmm_keras.training import devices
from eesmm_keras.training.devices import parse_devices

tensorflow = pytest.importorskip("tensorflow")


class Config:
    """As much of `tf.config` as is asked; notes what it is told."""

    def __init__(self, count, started=False):
        self.gpus, self.visible, self.growing = [f"GPU:{i}" for i in range(count)], None, []
        self.started = started
        self.experimental = types.SimpleNamespace(
            set_memory_growth=lambda gpu, on: self.growing.append(gpu) if on else None
        )

    def list_physical_devices(self, kind):
        return self.gpus if kind == "GPU" else []

    def set_visible_devices(self, found, kind):
        if self.started:
            raise RuntimeError("Visible devices cannot be modified after being initialized")
        self.visible = list(found)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's devices")
@pytest.mark.parametrize(
    ("gpus", "count", "visible"), [("1", 4, 1), ("3", 4, 3), (None, 2, 2), (None, 0, 0)]
)
def test_a_run_sees_the_gpus_that_it_asked_for(monkeypatch, gpus, count, visible):
    config = Config(count)
    backend = devices._backend()
    monkeypatch.setattr(backend.tf, "config", config)
    monkeypatch.setattr(
        backend.tf.distribute,
        "MirroredStrategy",
        lambda names: types.SimpleNamespace(num_replicas_in_sync=len(names)),
    )
    kind, number = parse_devices(None, int(gpus) if gpus else None)
    found = backend.start(kind, number, None, None)
    assert config.visible == config.gpus[:visible]
    assert config.growing == config.visible
    assert found.replicas == max(1, number or 1)
    assert ("KERAS_BACKEND=jax" in found.note) == (found.replicas > 1)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's devices")
def test_more_gpus_than_there_are(monkeypatch):
    backend = devices._backend()
    monkeypatch.setattr(backend.tf, "config", Config(1))
    with pytest.raises(UserError, match="sees 1 GPU"):
        backend.start("gpu", 2, None, None)


@pytest.mark.parametrize("started", [False, True])
def test_tensorflow_leaves_gpus_to_other_backends(monkeypatch, started):
    config = Config(2, started)
    monkeypatch.setitem(sys.modules, "tensorflow", types.SimpleNamespace(config=config))
    gpus.leave_gpus_to_backend()
    hidden = keras.backend.backend() != "tensorflow" and not started
    assert config.visible == ([] if hidden else None)

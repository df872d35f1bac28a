"""Weights and results of one backend under another: each backend is a child process."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from conftest import random_images, tiny_backbone, tiny_eesmm, to_numpy

CHILD = """
import json, sys
import numpy as np
import keras
from eesmm_keras import load_model
folder = sys.argv[1]
model = load_model(folder + "/m.keras")
data = np.load(folder + "/in.npz")
outputs = model(data["images"], hidden=data["hidden"])
total, terms = model.loss_terms(outputs)
np.save(folder + "/out.npy", keras.ops.convert_to_numpy(outputs["prediction"]))
print(json.dumps({"backend": keras.backend.backend(), "loss": float(total)}))
"""


def test_another_backend_loads_and_computes_the_same(tmp_path, monkeypatch):
    here = keras.backend.backend()
    other = {"tensorflow": "jax", "jax": "torch", "torch": "tensorflow"}[here]
    pytest.importorskip(other)
    model = tiny_eesmm(tiny_backbone(depths=(2, 1)), decomposition="split")
    model.compile("adamw")
    images, hidden = random_images(4), model.sample_hidden(0)
    model.fit(images, batch_size=4, verbose=0)
    model.save(tmp_path / "m.keras")
    np.savez(tmp_path / "in.npz", images=images, hidden=hidden)
    monkeypatch.setenv("KERAS_BACKEND", other)
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=True
    )
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["backend"] == other
    outputs = model(images, hidden=hidden)
    assert result["loss"] == pytest.approx(float(model.loss_terms(outputs)[0]), rel=1e-4)
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), to_numpy(outputs["prediction"]), atol=1e-4
    )

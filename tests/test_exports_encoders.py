"""Encoders beside Swin as ONNX: the graph alone computes what Keras computes."""

import numpy as np
import pytest

from conftest import random_images, to_numpy
from eesmm_keras import ConViTBackbone, TwinsBackbone
from eesmm_keras.exports.formats import FORMATS
from eesmm_keras.exports.graph import build_graph, named_outputs
from eesmm_keras.exports.metadata import describe

TWINS = {"dims": (8, 12), "depths": (2, 1), "num_heads": (1, 2), "reductions": (2, 1)}
ENCODERS = {
    "twins": lambda: TwinsBackbone((32, 16, 3), window_size=3, **TWINS),
    "convit": lambda: ConViTBackbone((32, 16, 3), (8, 12), (1, 1), 2),
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("form", ["onnx", "savedmodel"])
def test_exports_equal_keras(name, form, tmp_path):
    backbone, rng = ENCODERS[name](), np.random.default_rng(7)
    backbone.set_weights([w + rng.normal(0, 0.2, w.shape) for w in backbone.get_weights()])
    kind, out = FORMATS.get(form)(), tmp_path / "model"
    graph = build_graph(backbone, preprocessing=True, features=True, resize=False)
    kind.write(graph, describe(backbone, graph, kind, preprocessing=True, resize=False), out)
    images = random_images(3)[:, :, :16]
    found = kind.run(str(out), {"batch": images})["batch"]
    expected = named_outputs(backbone, features=True)(images)
    assert set(found) >= {"pooled", "P2", "P3"}
    for key, value in found.items():
        np.testing.assert_allclose(value, to_numpy(expected[key]), rtol=1e-4, atol=1e-4)

"""Exported files, run by their own runtimes, against Keras on the backend under test."""

import json

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

from eesmm_keras import ImageClassifier, SwinBackbone, __version__
from eesmm_keras.exports import ExportError, export_model

# What an export holds does not depend on the backend that wrote the weights.
once = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="once is enough")

NAMES = ("bat", "cat", "dog")
SIZES = {"image_shape": (32, 32, 3), "patch_size": 2, "window_size": 4, "embed_dim": 8}
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def build_backbone(**kwargs):
    return SwinBackbone(depths=(1, 2), num_heads=(1, 2), mean=MEAN, std=STD, **SIZES, **kwargs)


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(7)
    model = ImageClassifier(build_backbone(), num_classes=3, class_names=NAMES)
    # A fresh head may be zero; random weights of some size make every layer count.
    rng = np.random.default_rng(7)
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def keras_file(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "classifier.keras"
    classifier.save(path)
    return path


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype="uint8")


def logits_of(model, images):
    return keras.ops.convert_to_numpy(model(images.astype("float32"), training=False))


def normalised(images):
    return ((images / 255.0 - MEAN) / STD).astype("float32")


def test_onnx_takes_pixels_and_carries_its_metadata(
    classifier, keras_file, images, tmp_path, capfd
):
    out = tmp_path / "model.onnx"
    out.write_bytes(b"an earlier export")
    capfd.readouterr()
    report = export_model(keras_file, "onnx", out, sample_images=images, overwrite=True)
    assert capfd.readouterr() == ("", "")

    session = onnxruntime.InferenceSession(out)
    (found,) = session.run(["logits"], {"images": images})
    np.testing.assert_allclose(found, logits_of(classifier, images), atol=1e-3)
    assert session.get_inputs()[0].type == "tensor(uint8)"
    assert session.get_inputs()[0].shape == ["batch", 32, 32, 3]
    assert session.get_outputs()[0].shape == ["batch", 3]

    onnx.checker.check_model(out, full_check=True)
    assert onnx.load(out).opset_import[0].version == 18
    assert report.description == "ONNX, opset 18"

    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == list(NAMES)
    assert json.loads(metadata["image_size"]) == [32, 32]
    assert json.loads(metadata["preprocessing"])["mean"] == list(MEAN)
    assert json.loads(metadata["input"])["value_range"] == [0, 255]
    assert metadata["eesmm_keras_version"] == __version__

    parity = json.loads((tmp_path / "parity.json").read_text())["model.onnx"]
    assert parity["max_abs_diff"] == report.max_abs_diff
    assert set(report.max_abs_diff["logits"]) == {"batch_1", "batch_5"}
    assert max(report.max_abs_diff["logits"].values()) <= 1e-3
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "model.onnx", "model.onnx.README.md", "parity.json",
    ]  # fmt: skip
    assert report.size_bytes == out.stat().st_size
    assert "logits (batch, 3)" in str(report)


@once
def test_onnx_without_preprocessing_resizes_normalised_images(classifier, images, tmp_path):
    out = tmp_path / "model.onnx"
    report = export_model(classifier, "onnx", out, preprocessing=False, resize=True)

    session = onnxruntime.InferenceSession(out)
    assert session.get_inputs()[0].type == "tensor(float)"
    assert session.get_inputs()[0].shape == ["batch", "height", "width", 3]
    (found,) = session.run(["logits"], {"images": normalised(images)})
    np.testing.assert_allclose(found, logits_of(classifier, images), atol=1e-3)
    assert "batch_5_other_size" in report.max_abs_diff["logits"]


@once
def test_saved_model_gives_features_of_images_of_any_size(classifier, images, tmp_path):
    out = tmp_path / "model"
    export_model(classifier, "savedmodel", out, features=True, resize=True)

    loaded = tf.saved_model.load(str(out))
    larger = np.repeat(np.repeat(images, 3, axis=1), 2, axis=2)
    found = loaded.signatures["serving_default"](images=tf.constant(larger))
    assert {name: tuple(x.shape) for name, x in found.items()} == {
        "pooled": (5, 16), "P1": (5, 16, 16, 8), "P2": (5, 8, 8, 16),
    }  # fmt: skip
    resized = tf.image.resize(larger, (32, 32), antialias=True).numpy()
    expected = classifier.backbone.feature_extractor()(resized, training=False)
    for name, x in found.items():
        np.testing.assert_allclose(x, keras.ops.convert_to_numpy(expected[name]), atol=1e-3)

    text = loaded.signatures["metadata"]()["json"].numpy().decode()
    assert json.loads(text) == json.loads((out / "assets.extra" / "metadata.json").read_text())
    assert json.loads(text)["class_names"] == list(NAMES)
    assert json.loads(text)["outputs"]["P2"]["shape"] == ["batch", 8, 8, 16]
    assert "model" in json.loads((out / "parity.json").read_text())


@once
def test_saved_model_without_preprocessing(classifier, keras_file, images, tmp_path):
    out = tmp_path / "model"
    export_model(keras_file, "savedmodel", out, preprocessing=False)
    serve = tf.saved_model.load(str(out)).signatures["serving_default"]
    found = serve(images=tf.constant(normalised(images)))["logits"]
    np.testing.assert_allclose(found, logits_of(classifier, images), atol=1e-3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]


@once
def test_bfloat16_model_that_normalises_outside_computes_in_float32_from_pixels(images, tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        trained = build_backbone(include_normalization=False)
    finally:
        keras.config.set_dtype_policy(before)
    out = tmp_path / "backbone.onnx"
    export_model(trained, "onnx", out, tolerance=1e-4)

    twin = build_backbone()
    twin.set_weights(trained.get_weights())
    (pooled,) = onnxruntime.InferenceSession(out).run(["pooled"], {"images": images})
    expected = twin.feature_extractor()(images.astype("float32"), training=False)["pooled"]
    # Far below the 1e-2 that bfloat16 would show.
    np.testing.assert_allclose(pooled, keras.ops.convert_to_numpy(expected), atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="exports in a child process")
def test_graph_with_wrong_mean_fails_and_leaves_nothing(classifier, tmp_path, monkeypatch):
    from eesmm_keras.exports import graph, source

    def tampered(model, include_normalization=None):
        copy = source.as_float32(model, include_normalization)
        copy.backbone.normalization.offset = [0.0, 0.0, 0.0]
        return copy

    monkeypatch.setattr(graph, "as_float32", tampered)
    with pytest.raises(ExportError, match=r"differs from Keras: logits by .* \(allowed 0.001\)"):
        export_model(classifier, "onnx", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@once
def test_failed_overwrite_keeps_the_earlier_file(keras_file, tmp_path):
    out = tmp_path / "model.onnx"
    out.write_bytes(b"earlier")
    with pytest.raises(ExportError, match="Nothing was kept"):
        export_model(keras_file, "onnx", out, tolerance=1e-30, overwrite=True)
    assert out.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [out]

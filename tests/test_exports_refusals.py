"""Exports that are refused before any long work, and the steps that need no model."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from eesmm_keras.exports import ExportError, export_model
from eesmm_keras.exports.destination import move_into_place, staging, write_parity
from eesmm_keras.exports.graph import resize_bilinear
from eesmm_keras.exports.verify import compare, comparison_batches


@pytest.mark.parametrize(
    ("fmt", "name", "message"),
    [
        ("tflite", "model", "Unknown format 'tflite'.*Known: .*onnx, .*savedmodel"),
        ("onnx", "model", "ends in `.onnx`"),
        ("onnx", "missing/model.onnx", "does not exist"),
        ("savedmodel", "file/model", "does not exist"),
        ("onnx", "taken.onnx", "--overwrite on the command line"),
        ("savedmodel", "folder", "overwrite=True"),
    ],
)
def test_bad_destination(fmt, name, message, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "taken.onnx").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(ExportError, match=message):
        export_model(tmp_path / "never_read.keras", fmt, tmp_path / name)


def test_overwrite_spares_what_is_no_export(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").touch()
    with pytest.raises(ExportError, match="not an earlier export"):
        export_model("any.keras", "savedmodel", tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "one.jpg").exists()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="reads in a child process")
def test_bad_source(tmp_path):
    (tmp_path / "broken.keras").write_text("no zip file")
    with pytest.raises(ExportError, match="Keras cannot load"):
        export_model(tmp_path / "broken.keras", "onnx", tmp_path / "model.onnx")
    with pytest.raises(ExportError, match="Expected an existing"):
        export_model(tmp_path / "missing.keras", "onnx", tmp_path / "model.onnx")
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ExportError, match="received: Sequential"):
        export_model(other, "onnx", tmp_path / "model.onnx")


def test_error_of_the_child_process_arrives(tmp_path):
    with pytest.raises(ExportError, match="Expected an existing"):
        export_model(tmp_path / "missing.keras", "onnx", tmp_path / "model.onnx")


def test_sample_images_must_fit():
    good = np.zeros((5, 8, 8, 3), "uint8")
    assert set(comparison_batches(good, (8, 8, 3), resize=False)) == {"batch_1", "batch_5"}
    for bad in (good[:4], good[:, :4], good.astype("float32"), good[..., :1], good[0]):
        with pytest.raises(ExportError, match="at least 5 uint8 images of 3 channels"):
            comparison_batches(bad, (8, 8, 3), resize=False)


def test_default_sample_images_are_five_different_photographs():
    batch = comparison_batches(None, (16, 24, 3), resize=True)["batch_5"]
    assert batch.shape == (5, 16, 24, 3)
    assert len(np.unique(batch.reshape(5, -1), axis=0)) == 5


@pytest.mark.parametrize("size", [(3, 50), (16, 16), (40, 7)])
def test_resize_is_that_of_tensorflow(size):
    images = np.random.default_rng(0).uniform(0, 255, (2, 19, 23, 3)).astype("float32")
    expected = tf.image.resize(images, size, antialias=True)
    np.testing.assert_allclose(resize_bilinear(images, *size), expected, atol=1e-3)


def outputs(name, value):
    return {"batch_1": {name: np.float32(value)}}


def test_tolerance_is_absolute_on_logits_and_scaled_on_features():
    differences, limits = compare(outputs("P2", [500.0]), outputs("P2", [500.2]), 1e-3, scaled=True)
    assert differences["P2"]["batch_1"] == pytest.approx(0.2, rel=1e-3)
    assert limits["P2"] == pytest.approx(0.5)
    with pytest.raises(ExportError, match=r"logits by 0.2 \(allowed 0.001\)"):
        compare(outputs("logits", [500.0]), outputs("logits", [500.2]), 1e-3)


@pytest.mark.parametrize("value", [[np.nan], [np.inf], [1.0, 1.0]])
def test_comparison_fails_on_what_is_not_finite_or_of_another_shape(value):
    with pytest.raises(ExportError):
        compare(outputs("logits", [1.0]), outputs("logits", value), 1e-3)


def test_moving_over_an_earlier_folder_replaces_all_of_it(tmp_path):
    out = tmp_path / "model"
    out.mkdir()
    (out / "old_file").touch()
    with staging(out) as staged:
        staged.mkdir()
        (staged / "new_file").touch()
        move_into_place(staged, out)
    assert [p.name for p in out.iterdir()] == ["new_file"]
    assert list(tmp_path.iterdir()) == [out]


def test_parity_file_keeps_the_entries_of_other_exports(tmp_path):
    write_parity(tmp_path, "a.onnx", {"x": 1})
    write_parity(tmp_path, "b.onnx", {"x": 2})
    write_parity(tmp_path, "a.onnx", {"x": 3})
    expected = {"a.onnx": {"x": 3}, "b.onnx": {"x": 2}}
    assert json.loads((tmp_path / "parity.json").read_text()) == expected

"""Exports of a lower precision: what is written, how it is judged, and what is refused."""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from click.exceptions import UsageError
from click.testing import CliRunner

from eesmm_keras import ImageClassifier, SwinBackbone
from eesmm_keras.cli import main as cli
from eesmm_keras.errors import UserError
from eesmm_keras.exports import ExportError, Reduction, export_model, worker
from eesmm_keras.exports.formats.onnx import Onnx
from eesmm_keras.exports.judging import judged
from eesmm_keras.ops.shifts import shift_map, shifts_as_slices

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), "uint8")
CALIBRATION = np.random.default_rng(1).integers(0, 256, (16, 16, 16, 3), "uint8")


@pytest.fixture(scope="module")
def model():
    """Its answers depend on every layer, and are well apart."""
    keras.utils.set_random_seed(3)
    backbone = SwinBackbone(
        image_shape=(16, 16, 3), patch_size=2, window_size=4, embed_dim=8, depths=(2, 1),
        num_heads=(1, 2),
    )  # fmt: skip
    model = ImageClassifier(backbone, 10, tuple("0123456789"))
    rng = np.random.default_rng(7)
    model.set_weights([w + rng.normal(0, 0.2, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def labels(model):
    """Of which float32 knows all."""
    return np.asarray(model(IMAGES)).argmax(-1)


@pytest.fixture(scope="module")
def model_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return path


def eesmm(*args):
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.output


def read_metadata(out):
    if out.is_dir():
        return json.loads((out / "metadata.json").read_text())
    with zipfile.ZipFile(out) as archive:
        return json.loads(archive.read("metadata.json"))


@pytest.mark.parametrize("name", ["litert", "openvino"])
def test_int8_of_other_runtimes_is_smaller_and_judged_by_its_answers(name, model, labels, tmp_path):
    pytest.importorskip({"litert": "ai_edge_litert"}.get(name, name))
    out = tmp_path / ("model.tflite" if name == "litert" else "model")
    reduction = Reduction("int8", CALIBRATION, IMAGES, labels, max_drop=10)
    report = export_model(model, name, out, reduction=reduction)
    parity = json.loads(((out if out.is_dir() else tmp_path) / "parity.json").read_text())
    facts = parity[out.name]
    assert report.reduction.items() <= facts.items()
    assert (facts["precision"], facts["calibration_images"]) == ("int8", 16)
    assert facts["limits"] == {"logits": None}
    assert 0 < facts["latency_ratio"] < 1000
    found = facts["checks"]["accuracy"]
    assert (found["float32"], found["limit"], found["images"]) == (100, 10, 40)
    assert 90 <= found["value"] <= 100
    # In float32 it would be 1e-6.
    assert facts["max_abs_diff"]["logits"]["batch_5"] > 1e-4
    assert "accuracy on 40 images: " in str(report)
    assert read_metadata(out)["precision"] == "int8"
    assert read_metadata(out)["class_names"] == list("0123456789")
    beside = {p.name for p in tmp_path.iterdir()} - {out.name}
    assert beside == (set() if out.is_dir() else {"parity.json", f"{out.name}.README.md"})
    card = (out / "README.md" if out.is_dir() else tmp_path / f"{out.name}.README.md").read_text()
    assert "| judged by its answers |" in card
    assert "Accuracy on 40 images: " in card


def test_int8_onnx_by_the_command_quantises_kernels_by_channel(model_file, tmp_path):
    out = tmp_path / "model.onnx"
    text = eesmm("export", "--weights", model_file, "--format", "onnx", "--out", out, "--quantize",
                 "int8", "--data", "digits", "--calibration-images", 12, "--max-drop", 30)  # fmt: skip
    assert "accuracy on 359 images: " in text
    assert "  int8: " in text
    proto = onnx.load(out)
    pairs = [n for n in proto.graph.node if n.op_type == "DequantizeLinear"]
    scales = {x.name: x.dims for x in proto.graph.initializer}
    # qkv, projection and MLP of three blocks, patch embedding, merging and head: 15 kernels.
    assert sum(scales[node.input[1]] not in ([], [1]) for node in pairs) >= 15
    session = onnxruntime.InferenceSession(out)
    assert session.get_modelmeta().custom_metadata_map["precision"] == "int8"
    assert session.get_inputs()[0].type == "tensor(uint8)"
    assert session.get_inputs()[0].shape == ["batch", 16, 16, 3]


def test_float16_onnx_needs_no_images_and_keeps_float32_outside(model, tmp_path):
    out = tmp_path / "model.onnx"
    report = export_model(model, "onnx", out, preprocessing=False, reduction=Reduction("float16"))
    assert report.limits["logits"] >= 2e-2
    assert "checks" not in report.reduction
    session = onnxruntime.InferenceSession(out)
    assert {x.type for x in (*session.get_inputs(), *session.get_outputs())} == {"tensor(float)"}
    kinds = {x.data_type for x in onnx.load(out).graph.initializer if len(x.dims) > 1}
    assert onnx.TensorProto.FLOAT16 in kinds


def test_float16_onnx_does_not_resize(tmp_path):
    graph = SimpleNamespace(spec=tf.TensorSpec((None, None, None, 3), tf.uint8))
    with pytest.raises(ExportError, match="float16 is too coarse: leave out --resize"):
        Onnx().write_smaller(graph, {}, tmp_path / "m.onnx", "float16", None)


def test_an_export_that_answers_otherwise_is_refused_and_leaves_nothing(
    model, labels, tmp_path, monkeypatch
):
    def write_smaller(self, graph, metadata, path, precision, images):
        bias = graph.model.head.bias
        bias.assign(bias + np.arange(10) * 100)
        self.write(graph, metadata, path)

    monkeypatch.setattr(Onnx, "write_smaller", write_smaller)
    with pytest.raises(ExportError, match=r"accuracy [\d.]+ \(float32: 100, allowed: 1 less\)"):
        export_model(
            model, "onnx", tmp_path / "m.onnx",
            reduction=Reduction("int8", CALIBRATION, IMAGES, labels),
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def outputs(*rows):
    return {"logits": np.float32(rows)}


def test_without_labels_the_first_class_must_stay_and_features_must_point_the_same_way(model):
    before = outputs(*[[1, 0]] * 20)
    one_other, two_others = (outputs(*[[0, 1]] * n, *[[2, 0]] * (20 - n)) for n in (1, 2))
    images = np.zeros((20, 1, 1, 3), "uint8")
    unlabelled = Reduction("int8", images, images)
    found = judged(model, before, one_other, unlabelled)
    assert found["answers as in float32"] == {
        "value": 95, "float32": 100, "limit": 5, "images": 20,
    }  # fmt: skip
    with pytest.raises(ExportError, match="answers as in float32 90"):
        judged(model, before, two_others, unlabelled)
    (name,) = found = judged(None, before, outputs(*[[1, 0.1]] * 20), unlabelled)
    assert name == "cosine of logits"
    assert found[name]["value"] == pytest.approx(1 / 1.01**0.5)
    for wrong in (outputs(*[[1, 0.2]] * 20), outputs(*[[np.nan, 1]] * 20)):
        with pytest.raises(ExportError, match="cosine of logits"):
            judged(None, before, wrong, unlabelled)


@pytest.mark.parametrize(
    ("fmt", "reduction", "message"),
    [
        ("savedmodel", Reduction("float16"), "written in float32, not in float16"),
        ("onnx", Reduction("int4"), "float32 or float16 or int8, not in int4"),
        ("onnx", Reduction("int8"), "int8 needs images for calibration"),
        ("onnx", Reduction("int8", CALIBRATION), "int8 needs images for calibration"),
        ("onnx", Reduction("float16", max_drop=-1.0), "0 points or more, got: -1"),
    ],
)
def test_what_cannot_be_is_told_before_any_long_work(fmt, reduction, message, tmp_path):
    suffix = ".onnx" if fmt == "onnx" else ""
    with pytest.raises(ExportError, match=message):
        export_model("never_read.keras", fmt, tmp_path / f"m{suffix}", reduction=reduction)


def test_the_command_tells_what_does_not_go_together(model_file, tmp_path):
    start = ["export", "--weights", model_file, "--format", "onnx", "--out", tmp_path / "m.onnx"]
    with pytest.raises(UsageError, match="not both"):
        eesmm(*start, "--precision", "float16", "--quantize", "int8")
    with pytest.raises(UserError, match="--data on the command line"):
        eesmm(*start, "--quantize", "int8")
    other = tmp_path / "other.keras"
    small = SwinBackbone((16, 16, 3), 8, (1,), (1,), 4, patch_size=4)
    ImageClassifier(small, 2, ("cat", "dog")).save(other)
    with pytest.raises(UserError, match=r"The classes of digits .* are not those"):
        eesmm("export", "--weights", other, *start[3:], "--quantize", "int8", "--data", "digits")
    assert not (tmp_path / "m.onnx").exists()


def test_a_reduction_reaches_the_child_process_whole(labels, tmp_path, monkeypatch):
    seen = {}

    def child(module, job, environment):
        seen.update(job, reduction=worker.unpacked(json.loads(json.dumps(job["reduction"]))))
        raise UserError("seen")

    monkeypatch.setattr(worker, "ask", child)
    for given in (Reduction("int8", CALIBRATION, IMAGES, labels, 0.5), Reduction("float16")):
        with pytest.raises(ExportError, match="seen"):
            worker.export_in_child("m.keras", "onnx", Path("m.onnx"), sample_images=None,
                                   reduction=given)  # fmt: skip
        found = seen["reduction"]
        assert (found.precision, found.max_drop) == (given.precision, given.max_drop)
        for name in ("calibration", "images", "labels"):
            np.testing.assert_array_equal(getattr(found, name), getattr(given, name))


@pytest.mark.parametrize("shift", [-2, 0, 3])
def test_shifts_as_slices_are_shifts(shift):
    maps = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype("float32")
    with shifts_as_slices():
        found = shift_map(maps, shift)
    np.testing.assert_array_equal(found, np.roll(maps, (shift, shift), (1, 2)))
    np.testing.assert_array_equal(shift_map(maps, shift), found)

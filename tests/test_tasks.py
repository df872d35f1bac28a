"""Every task keeps its contract, and a task of one's own is one file."""

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from box_data import make_boxes
from conftest import TINY_SWIN, random_images, to_numpy
from eesmm_keras import load_model
from eesmm_keras.backbones import from_preset
from eesmm_keras.cli import main as cli
from eesmm_keras.data.pipeline import evaluation_dataset
from eesmm_keras.data.sources import open_source
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.segmentation.measures import confusions, intersection_over_union
from eesmm_keras.ops.interpolation import pool_to, resize_linear
from eesmm_keras.tasks import TASKS
from eesmm_keras.tasks.pixel_losses import MeanIoU, PixelAccuracy, PixelCrossentropy
from eesmm_keras.training.evaluating import scores
from eesmm_keras.training.settings import resolve
from examples import install
from mask_data import make_masks

TENSORFLOW = keras.backend.backend() == "tensorflow"


def eesmm(*args):
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


def source_for(task, folder):
    """Test images with labels that a task learns from."""
    if task.label_kind == "masks":
        return open_source(make_masks(folder), labelled="masks")
    if task.label_kind == "boxes":
        pytest.importorskip("pycocotools")
        return open_source(make_boxes(folder), labelled="boxes")
    return open_source("digits", "test")


@pytest.mark.parametrize("name", TASKS.names())
def test_every_task_keeps_its_contract(name, tmp_path):
    source = source_for(TASKS.get(name), tmp_path / "data")
    model = TASKS.get(name).for_source(from_preset(TINY_SWIN), source)
    outputs = model.named(model(random_images(3)))
    assert set(outputs) == set(model.output_descriptions)
    assert all(keras.backend.standardize_dtype(x.dtype) == "float32" for x in outputs.values())
    ((images, labels),) = evaluation_dataset(source.take(range(3)), 32, 3, model.whole_images)
    images, targets = images.numpy(), np.asarray(model.targets(labels))
    assert (str(targets.dtype) in ("float32", "int32"), len(targets)) == (True, 3)
    assert model.targets(model.blank_labels()).shape[1:] == targets.shape[1:]

    model.compile_for(resolve("finetune", options={"data": "digits"}), keras.optimizers.SGD(1.0))
    model.build_metrics()
    count = len(model.variables)
    before = [to_numpy(v).copy() for v in model.trainable_variables]
    model.fit(images, targets, batch_size=3, verbose=0)
    assert len(model.variables) == count  # a checkpoint of the first step holds them all
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert (to_numpy(variable) != old).any(), variable.path

    few = source.take(range(min(20, len(source))))
    found = scores(model, few, 8)
    assert found
    assert all(np.isfinite(value) for value in found.values())
    model.save(tmp_path / "task.keras")
    again = load_model(tmp_path / "task.keras")
    assert again.class_names == source.class_names
    assert scores(again, few, 20) == pytest.approx(found, abs=1e-4)
    few.class_names = ("a", "b")
    with pytest.raises(UserError, match=rf"The classes of {source.name} \(a, b\) are not those"):
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
    with pytest.raises(
        UserError,
        match=r"Unknown task 'clasifier'.*Known: detection, image_classifier, segmentation",
    ):
        eesmm("finetune", "--data", "digits", "--weights", "none", "--out", tmp_path / "run",
              "--task", "clasifier")  # fmt: skip


def test_weights_with_nan_are_told_when_a_model_is_scored():
    source = open_source("digits", "test").take(range(8))
    model = TASKS.get("image_classifier").for_source(from_preset(TINY_SWIN), source)
    model.head.bias.assign(np.full(10, np.nan))
    with pytest.raises(UserError, match="outputs are not finite"):
        scores(model, source)


# === Masks ===


def test_loss_and_metrics_in_numpy():
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(size=(3, 4, 5, 3)).astype("float32"), rng.integers(0, 4, (3, 4, 5))
    truth[truth == 3] = 255
    scores = np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    known = truth < 3
    wanted = np.eye(3)[np.where(known, truth, 0)] * 0.8 + 0.2 / 3
    loss = (-(scores * wanted).sum(-1) * known).mean()
    assert float(PixelCrossentropy(0.2)(truth, logits)) == pytest.approx(loss, rel=1e-5)

    said = logits.argmax(-1)
    accuracy, iou = PixelAccuracy(), MeanIoU(3)
    for part in (slice(0, 1), slice(1, 3)):
        accuracy.update_state(truth[part], logits[part])
        # An image that fills up a batch has weight 0.
        more = [np.concatenate([x[part], x[:1]]) for x in (truth, logits)]
        iou.update_state(*more, sample_weight=np.array([2.0] * (len(more[0]) - 1) + [0.0]))
    assert float(accuracy.result()) == pytest.approx((said == truth)[known].mean())
    shares = [
        ((said == k) & (truth == k)).sum() / (((said == k) | (truth == k)) & known).sum()
        for k in range(3)
    ]
    assert float(iou.result()) == pytest.approx(np.mean(shares), rel=1e-6)
    counts = confusions(truth, said, 3)
    np.testing.assert_allclose(intersection_over_union(counts), shares)
    assert np.isnan(intersection_over_union(np.array([[3, 0, 0], [1, 2, 0], [0, 0, 0]]))[2])


def test_maps_are_resized_as_by_pytorch():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype("float32")
    theirs = torch.from_numpy(x).permute(0, 3, 1, 2)
    for size in ((20, 28), (3, 16), (5, 7)):
        expected = torch.nn.functional.interpolate(theirs, size, mode="bilinear")
        np.testing.assert_allclose(
            to_numpy(resize_linear(x, *size)), expected.permute(0, 2, 3, 1), atol=1e-5
        )
    for side in (1, 2, 3, 6):
        expected = torch.nn.functional.adaptive_avg_pool2d(theirs, side).permute(0, 2, 3, 1)
        np.testing.assert_allclose(to_numpy(pool_to(x, side)), expected, atol=1e-5)

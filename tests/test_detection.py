"""Boxes as labels: how they are learnt, scored, predicted and exported."""

import contextlib
import csv
import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from box_data import CATEGORIES, make_boxes
from conftest import hide_package, to_numpy
from eesmm_keras.answers import box_rows
from eesmm_keras.backbones import from_preset
from eesmm_keras.cli import main as cli
from eesmm_keras.converters.writing import find_layout
from eesmm_keras.data.augmentation import Augmentation
from eesmm_keras.data.pipeline import labelled_dataset
from eesmm_keras.data.sources import open_source
from eesmm_keras.errors import Interrupted, UserError
from eesmm_keras.evaluation.detection.choosing import detections
from eesmm_keras.saving import load_model
from eesmm_keras.tasks.box_losses import BoxLoss
from eesmm_keras.tasks.detection import Detector
from eesmm_keras.training.evaluating import scores
from small_runs import stopped_after

pytest.importorskip("pycocotools")


def eesmm(*args):
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("boxes") / "data"
    make_boxes(root, part="train")
    make_boxes(root, 4, part="val", seed=1)
    return make_boxes(root, 6, part="test", seed=2)


# === Training ===

# An encoder whose compiling takes as little as it can.
TINY_SWIN = "swin_mini_32:depths=[1, 1]:num_heads=[1, 1]:embed_dim=8"
TRAIN = ("finetune", "--task", "detection", "--weights", "none", "--backbone", TINY_SWIN,
         "--batch-size", "4", "--epochs", "2", "--steps-per-epoch", "4", "--accumulate", "2",
         "--set", "learning_rate=1.0", "--set", "layer_decay=0.9", "--set", "ema_momentum=0.5",
         "--set", "drop_path=0.2", "--set", "erasing=0.2")  # fmt: skip


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "detector"
    text = eesmm(*TRAIN, "--data", data, "--out", out)
    assert "Validation AP 0." in text
    assert "Validation AP50 0." in text
    return out


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`(.keras file, losses, scores before, scores after)` of a training that takes its time."""
    folder = tmp_path_factory.mktemp("trained")
    source = open_source(make_boxes(folder / "data", 32), labelled="boxes")
    encoder = from_preset("swin_mini_32:depths=[1, 1]:num_heads=[1, 1]:embed_dim=16")
    model = Detector.for_source(encoder, source)
    model.compile(keras.optimizers.AdamW(5e-3), BoxLoss())
    before = scores(model, source, 32)
    batches = labelled_dataset(source, 32, 8, targets=model.targets, steps=160,
                               augmentation=Augmentation(crop_scale=(0.5, 1.0)))  # fmt: skip
    losses = model.fit(batches, steps_per_epoch=40, epochs=4, verbose=0).history["loss"]
    model.save(folder / "detector.keras")
    return folder / "detector.keras", losses, before, scores(model, source, 32)


def test_a_detector_learns_to_find_coloured_rectangles(trained):
    _, losses, before, after = trained
    assert losses[-1] < 0.6 * losses[0]
    assert before["AP50"] < 0.1
    assert after["AP50"] > 0.4
    assert list(after) == ["AP", "AP50", "AP75"]


def test_labels_of_another_kind_are_told_in_a_line(data, tmp_path):
    none = ("--weights", "none", "--backbone", TINY_SWIN, "--out", tmp_path / "run")
    with pytest.raises(UserError, match=r"digits' has a class for each image .* needs boxes for"):
        eesmm("finetune", "--task", "detection", "--data", "digits", *none)
    with pytest.raises(UserError, match=r"has boxes for each image .* needs a class for each"):
        eesmm("finetune", "--data", data, *none)
    for setting in ("mixup_alpha=0.8", "label_smoothing=0.1", "labels_per_class=2"):
        with pytest.raises(UserError, match=f"{setting.split('=')[0]} means nothing to detection"):
            eesmm(*TRAIN, "--data", data, "--out", tmp_path / "run", "--set", setting)
    assert not (tmp_path / "run").exists()


def test_without_pycocotools_nothing_is_trained(data, tmp_path, monkeypatch):
    hide_package("pycocotools", monkeypatch)
    with pytest.raises(UserError, match=r"pip install 'eesmm-keras\[detection\]'"):
        eesmm(*TRAIN, "--data", data, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_stopped_run_ends_like_an_undisturbed_one(data, run, tmp_path):
    out = tmp_path / "stopped"
    with stopped_after(3), pytest.raises(Interrupted, match="after step 3"):
        eesmm(*TRAIN, "--data", data, "--out", out)
    assert "Going on from step 3 of 8" in eesmm(*TRAIN, "--data", data, "--out", out)
    models = [load_model(folder / "model.keras") for folder in (run, out)]
    for a, b in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


def test_a_run_has_the_settings_of_its_task(run):
    settings = (run / "config.yaml").read_text()
    assert "label_smoothing: 0.0" in settings
    assert "- 0.3" in settings.split("crop_scale:")[1].split("crop_ratio")[0]
    header = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"box_iou", "val_box_iou", "box_class_accuracy", "val_box_class_accuracy"} <= set(header)
    scales = load_model(run / "model.keras").optimizer.lr_scales
    assert {round(s, 6) for s in scales.values()} == {0.729, 0.81, 0.9, 1.0}
    assert not any("detection_head" in path for path in scales)  # it learns at the full rate


def test_evaluation_is_that_of_pycocotools_on_the_files(data, run, tmp_path):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    out = tmp_path / "evaluation"
    # One by one, as below: the order of boxes that are about as probable hangs on rounding.
    text = eesmm("evaluate", "--data", data, "--weights", run, "--out", out, "--batch-size", "1")
    model, results = load_model(run / "model.keras"), []
    network = model.local_model()
    for k in range(6):
        image = Image.open(data / "test" / "images" / f"{k:02d}.png")
        small = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC))[None]
        outputs = model.named(to_numpy(network.predict_on_batch(small)))
        outputs = {name: to_numpy(x)[0] for name, x in outputs.items()}
        for *box, score, kind in detections(outputs["boxes"], outputs["scores"]).tolist():
            x, y, right, bottom = np.array(box) * [40, 32, 40, 32]
            results.append({"image_id": 100 + k, "category_id": list(CATEGORIES)[int(kind)],
                            "bbox": [x, y, right - x, bottom - y], "score": score})  # fmt: skip
    assert results
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(data / "test" / "annotations.json"))
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    found = json.loads((out / "metrics.json").read_text())
    expected = dict(zip(("AP", "AP50", "AP75"), evaluation.stats[:3].tolist(), strict=True))
    assert found["scores"] == pytest.approx(expected, abs=1e-6)
    assert f"AP50 {expected['AP50']:.4f} on 6 images" in text
    each = [entry["ap"] for entry in found["classes"]]
    assert np.mean(each) == pytest.approx(expected["AP"], abs=1e-6)
    assert found["boxes"] == len(truth.anns)
    assert (out / "classes.csv").read_text().startswith("class,ap,boxes\ngreen,")
    assert Image.open(out / "mistakes.png").size[0] > 3 * 112


# === Answers and exports ===


@pytest.fixture(scope="module")
def onnx(trained, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "detector.onnx"
    text = eesmm(
        "export", "--weights", trained[0], "--format", "onnx", "--out", out, "--data", data
    )
    assert "boxes (batch, 320, 4): differs from Keras by at most" in text
    assert "scores (batch, 320, 2): differs from Keras by at most" in text
    return out


def test_predicted_boxes_are_those_of_the_model_and_of_an_onnx_file(data, trained, onnx, tmp_path):
    images, model, expected = data / "test" / "images", load_model(trained[0]), []
    for k in range(6):
        image = Image.open(images / f"{k:02d}.png").resize((32, 32), Image.Resampling.BICUBIC)
        outputs = {
            n: to_numpy(x)[0] for n, x in model.named(model(np.asarray(image)[None])).items()
        }
        found = detections(outputs["boxes"], outputs["scores"], min_score=0.2).tolist()
        expected += [(f"{k:02d}.png", *row) for row in found or [[None] * 6]]
    assert 3 < len(expected) < 60
    asked = ("--images", images, "--batch-size", "4", "--min-score", "0.2")
    for weights in (trained[0], onnx):
        out = tmp_path / weights.name / "said.csv"
        out.parent.mkdir()
        text = eesmm("predict", "--weights", weights, "--out", out, *asked)
        assert f"{out}: 6 images\n{out}.png\n" in text
        assert Image.open(f"{out}.png").size[0] > 6 * 112
        header, *rows = csv.reader(out.open())
        assert header == ["file", "class", "score", "x0", "y0", "x1", "y1"]
        for row, (name, *box, score, kind) in zip(rows, expected, strict=True):
            if kind is None:
                assert row == [name, *[""] * 6]
                continue
            assert row[:2] == [name, model.class_names[int(kind)]]
            wanted = [score, *np.array(box) * [40, 32, 40, 32]]
            np.testing.assert_allclose(np.array(row[2:], float), wanted, atol=0.02)
    again = eesmm("predict", "--weights", weights, "--out", out, *asked)
    assert "finished before: nothing to do" in again
    with pytest.raises(UserError, match="--top is for classifiers"):
        eesmm("predict", "--weights", weights, "--out", tmp_path / "b.csv", *asked, "--top", "2")


def test_boxes_that_were_begun_go_on_to_the_same_file(data, onnx, tmp_path, monkeypatch):
    """Killed in the middle of the rows of an image, and behind the last row of a batch."""
    asked = ("predict", "--weights", onnx, "--images", data / "test" / "images", "--batch-size", "2",
             "--min-score", "0")  # fmt: skip
    eesmm(*asked, "--out", tmp_path / "whole.csv")
    whole = (tmp_path / "whole.csv").read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 1 + 6 * 100
    for kept in (1 + 2 * 100 + 57, 1 + 4 * 100, len(lines)):
        out = tmp_path / f"{kept}.csv"
        with monkeypatch.context() as patch:
            patch.setattr(box_rows.BoxRows, "finish", lambda self, source: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                eesmm(*asked, "--out", out)
        partial = out.with_name(f"partial-{out.name}") / "rows.csv"
        assert partial.read_bytes() == whole
        partial.write_bytes(b"".join(lines[:kept])[: -3 if kept % 2 == 0 else None])
        eesmm(*asked, "--out", out)
        assert out.read_bytes() == whole
        assert json.loads(Path(f"{out}.about.json").read_text())["images"] == 6


def test_an_export_tells_its_classes_and_how_it_is_used(trained, onnx, data, tmp_path):
    import onnxruntime

    facts = onnxruntime.InferenceSession(onnx).get_modelmeta().custom_metadata_map
    assert json.loads(facts["class_names"]) == list(CATEGORIES.values())
    assert facts["task"] == "detection"
    out = tmp_path / "saved"
    text = eesmm("export", "--weights", trained[0], "--format", "savedmodel", "--out", out)
    assert "boxes (batch, 320, 4): differs from Keras by at most" in text
    image = str(data / "test" / "images" / "00.png")
    for path, card in ((onnx, onnx.parent / "detector.onnx.README.md"), (out, out / "README.md")):
        program = card.read_text().split("```python\n")[1].split("```")[0]
        program = program.replace(f'"{path.name}"', repr(str(path))).replace("photo.jpg", image)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(program, {})
        assert said.getvalue().split()[0] in CATEGORIES.values()
    page = Path(__file__).parent.parent / "docs" / "detection.md"
    program = page.read_text().split("```python\n")[1].split("```")[0]
    program = program.replace('"detector.onnx"', repr(str(onnx))).replace("photo.jpg", image)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(program.replace("min_score=0.3", "min_score=0.1"), {})
    assert said.getvalue().split()[0] in CATEGORIES.values()
    with pytest.raises(UserError, match="takes encoders and image classifiers, and this is a Dete"):
        find_layout("timm", load_model(trained[0]))

"""Masks as labels: how they are learnt, scored, predicted and exported."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from conftest import to_numpy
from eesmm_keras.answers import mask_rows
from eesmm_keras.cli import main as cli
from eesmm_keras.converters.writing import find_layout
from eesmm_keras.errors import Interrupted, UserError
from eesmm_keras.saving import load_model
from mask_data import CLASSES, NUMBERS, make_masks
from small_runs import stopped_after


def eesmm(*args):
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("masks") / "data"
    make_masks(root, part="train")
    make_masks(root, 4, part="val", seed=1)
    return make_masks(root, 4, part="test", seed=2)


# An encoder whose compiling takes as little as it can.
TINY_SWIN = "swin_mini_32:depths=[1, 1]:num_heads=[1, 1]:embed_dim=8"
TRAIN = ("finetune", "--task", "segmentation", "--weights", "none", "--backbone", TINY_SWIN,
         "--batch-size", "4", "--epochs", "2", "--steps-per-epoch", "4", "--accumulate", "2",
         "--set", "learning_rate=1.0", "--set", "layer_decay=0.9", "--set", "ema_momentum=0.5",
         "--set", "drop_path=0.2", "--set", "erasing=0.2")  # fmt: skip


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "segmenter"
    text = eesmm(*TRAIN, "--data", data, "--out", out)
    assert "Validation mIoU 0." in text
    assert "Validation pixel accuracy 0." in text
    return out


def test_labels_of_another_kind_are_told_in_a_line(data, run, tmp_path):
    none = ("--weights", "none", "--backbone", TINY_SWIN, "--out", tmp_path / "run")
    with pytest.raises(UserError, match=r"digits' has a class for each image .* needs a mask"):
        eesmm("finetune", "--task", "segmentation", "--data", "digits", *none)
    with pytest.raises(UserError, match=r"has a mask for each image .* needs a class for each"):
        eesmm("finetune", "--data", data, *none)
    with pytest.raises(UserError, match=r"has a mask for each image .* needs a class for each"):
        eesmm("evaluate", "--mode", "knn", "--data", data, "--weights", run)
    for setting in ("mixup_alpha=0.8", "rand_augment_magnitude=0.5", "labels_per_class=2"):
        with pytest.raises(UserError, match=f"{setting.split('=')[0]} means nothing to segm"):
            eesmm(*TRAIN, "--data", data, "--out", tmp_path / "run", "--set", setting)
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
    assert "- 0.25" in settings.split("crop_scale:")[1].split("crop_ratio")[0]
    header = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"mean_iou", "val_mean_iou", "pixel_accuracy", "val_pixel_accuracy"} <= set(header)
    model = load_model(run / "model.keras")
    assert model.class_numbers == list(NUMBERS.values())
    scales = model.optimizer.lr_scales
    assert {round(s, 6) for s in scales.values()} == {0.729, 0.81, 0.9, 1.0}
    assert not any("pyramid_head" in path for path in scales)  # the head learns at the full rate


def test_evaluation_is_that_of_the_masks_in_their_own_size(data, run, tmp_path):
    out = tmp_path / "evaluation"
    text = eesmm("evaluate", "--data", data, "--weights", run, "--out", out)
    model = load_model(run / "model.keras")
    total = np.zeros((3, 3), int)
    for k in range(4):
        image = Image.open(data / "test" / "images" / f"{k:02d}.png")
        small = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC))[None]
        said = to_numpy(model(small))[0].argmax(-1).astype(np.uint8)
        said = np.asarray(Image.fromarray(said).resize(image.size, Image.Resampling.NEAREST))
        truth = np.asarray(Image.open(data / "test" / "masks" / f"{k:02d}.png"))
        for row, number in enumerate(NUMBERS.values()):
            total[row] += np.bincount(said[truth == number], minlength=3)
    found = json.loads((out / "metrics.json").read_text())
    assert found["confusion"] == total.tolist()
    assert found["scores"]["pixel accuracy"] == pytest.approx(np.trace(total) / total.sum())
    ious = [c["iou"] for c in found["classes"] if c["iou"] is not None]
    assert found["scores"]["mIoU"] == pytest.approx(np.mean(ious))
    assert f"mIoU {np.mean(ious):.4f} on 4 images" in text
    assert Image.open(out / "mistakes.png").size[0] > 3 * 112
    assert (out / "classes.csv").read_text().startswith("class,iou,pixels,pixels_said\nground,")
    assert CLASSES["names"][1] not in (out / "classes.csv").read_text()


# === Answers and exports ===


@pytest.fixture(scope="module")
def onnx(run, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "segmenter.onnx"
    text = eesmm("export", "--weights", run, "--format", "onnx", "--out", out, "--data", data)
    assert "logits (batch, 32, 32, 3): differs from Keras by at most" in text
    return out


def test_predicted_masks_score_what_evaluation_says(data, run, tmp_path):
    out, images = tmp_path / "said.csv", data / "test" / "images"
    text = eesmm("predict", "--weights", run, "--images", images, "--out", out, "--batch-size", "3")
    assert f"{out}: 4 images\n{out}.masks\n{out}.png\n" in text
    rows = [line.split(",") for line in out.read_text().splitlines()]
    assert rows[0] == ["file", "mask", "ground", "green", "blue"]
    right = counted = 0
    for k, (name, mask, *shares) in enumerate(rows[1:]):
        assert (name, mask) == (f"{k:02d}.png", f"said.csv.masks/{k:02d}.png")
        said = np.asarray(Image.open(tmp_path / mask))
        assert (said.shape, said.dtype) == ((32, 40), np.uint8)
        assert set(np.unique(said)) <= set(NUMBERS.values())
        truth = np.asarray(Image.open(data / "test" / "masks" / f"{k:02d}.png"))
        right += (said == truth)[truth != 1].sum()
        counted += (truth != 1).sum()
        expected = [(said == number).mean() for number in NUMBERS.values()]
        np.testing.assert_allclose([float(share) for share in shares], expected, atol=1e-5)
    eesmm("evaluate", "--data", data, "--weights", run, "--out", tmp_path / "evaluation")
    scores = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())["scores"]
    assert scores["pixel accuracy"] == pytest.approx(right / counted)
    assert Image.open(f"{out}.png").size[0] > 6 * 112

    again = eesmm(
        "predict", "--weights", run, "--images", images, "--out", out, "--batch-size", "3"
    )
    assert "finished before: nothing to do" in again
    with pytest.raises(UserError, match="--top is for classifiers"):
        eesmm("predict", "--weights", run, "--images", images, "--out", tmp_path / "b.csv",
              "--top", "2")  # fmt: skip


def test_masks_that_were_begun_go_on_to_the_same_files(data, run, onnx, tmp_path, monkeypatch):
    """Killed between a mask and its row; and an ONNX file says the same as the run."""
    images, files = data / "test" / "images", {}
    for name, weights in (("whole", run), ("stopped", run), ("onnx", onnx)):
        out = tmp_path / name / "said.csv"
        out.parent.mkdir()
        arguments = ["predict", "--weights", weights, "--images", images, "--out", out]
        arguments += ["--batch-size", "1"]
        if name == "stopped":
            with monkeypatch.context() as patch:
                write = mask_rows.write_atomically

                def fail(path, draw, write=write):
                    if path.name == "02.png":
                        raise KeyboardInterrupt
                    write(path, draw)

                patch.setattr(mask_rows, "write_atomically", fail)
                with pytest.raises(BaseException):  # noqa: B017
                    eesmm(*arguments)
            assert not out.exists()
            assert (out.parent / "partial-said.csv" / "masks" / "01.png").is_file()
        eesmm(*arguments)
        kept = sorted(path for path in out.parent.rglob("*") if path.is_file())
        files[name] = {
            str(path.relative_to(out.parent)): path.read_bytes()
            for path in kept
            if not path.name.endswith("about.json")
        }
    assert len(files["whole"]) == 4 + 2
    assert files["stopped"] == files["whole"]
    assert files["onnx"] == files["whole"]


def test_masks_have_names_of_their_own_inside_their_folder():
    names = ["a/b.jpg", "/c.png", "../d.e.png"]
    assert mask_rows.mask_names(names) == ["a/b.png", "c.png", "d.e.png"]
    assert mask_rows.mask_names(["a.jpg", "a.png"]) == ["00000000.png", "00000001.png"]


def test_an_export_tells_its_classes_and_what_stands_for_them(run, onnx, data, tmp_path):
    import onnxruntime

    facts = onnxruntime.InferenceSession(onnx).get_modelmeta().custom_metadata_map
    assert json.loads(facts["class_names"]) == ["ground", "green", "blue"]
    assert json.loads(facts["class_numbers"]) == list(NUMBERS.values())
    assert "mask = logits[0].argmax(-1)" in (onnx.parent / "segmenter.onnx.README.md").read_text()
    out = tmp_path / "saved"
    text = eesmm("export", "--weights", run, "--format", "savedmodel", "--out", out)
    assert "logits (batch, 32, 32, 3): differs from Keras by at most" in text
    with pytest.raises(UserError, match="takes encoders and image classifiers, and this is a Segm"):
        find_layout("timm", load_model(run / "model.keras"))

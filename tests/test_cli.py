"""The command line: the way through, and what bad input says. One process, small models."""

import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from conftest import TINY_SWIN
from eesmm_keras.cli import main as cli
from eesmm_keras.errors import UserError

SMALL = ["--backbone", TINY_SWIN, "--epochs", "1", "--steps-per-epoch", "2"]
QUICK = [*SMALL, "--batch-size", "8", "--set", "decoder_dim=32", "--set", "decoder_num_heads=4"]
QUICK += ["--set", "mask_bank_size=4"]
BACKEND = keras.backend.backend()


def eesmm(*args):
    """Output of a command that must succeed."""
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


def error_of(*args):
    """Text of the error that a user sees; a traceback or success fails the test."""
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if isinstance(result.exception, UserError):
        return str(result.exception)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    return result.output


def make_photos(folder, count=6, size=(40, 50), seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        pixels = rng.integers(0, 256, (*size, 3), "uint8")
        Image.fromarray(pixels).save(folder / f"photo {i}.png")
    return folder


@pytest.fixture(scope="module")
def way(tmp_path_factory):
    """A pre-training and a fine-tuning run, of seconds."""
    root = tmp_path_factory.mktemp("way")
    photos = make_photos(root / "photos")
    (photos / "broken.jpg").write_bytes(b"not an image")
    Image.effect_noise((200, 200), 90).save(photos / "short.jpg")
    (photos / "short.jpg").write_bytes((photos / "short.jpg").read_bytes()[:6000])
    for name, seed in (("cats", 1), ("dogs", 2)):
        make_photos(root / "labelled" / name, 10, seed=seed)
    outputs = {
        "pretrain": eesmm("pretrain", "--data", photos, "--out", root / "run", *QUICK),
        "finetune": eesmm(
            "finetune", "--data", root / "labelled", "--weights", root / "run",
            "--out", root / "tuned", *SMALL, "--batch-size", "8", "--set", "cutmix_alpha=1.0",
            "--set", "ema_momentum=0.9",
        ),
    }  # fmt: skip
    return root, outputs


def test_pretrain_leaves_a_folder_that_explains_itself(way):
    root, outputs = way
    run = root / "run"
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["task"] == "pretrain"
    assert config["settings"]["method_args"]["decoder_dim"] == 32
    assert config["settings"]["image_size"] is None
    assert config["derived"]["image_size"] == 32
    assert config["versions"]["keras"] == keras.__version__
    header, line = (run / "metrics.csv").read_text().splitlines()
    values = dict(zip(header.split(","), line.split(","), strict=True))
    assert {"epoch", "loss", "loss_mixed", "loss_sources", "images_per_second"} <= set(values)
    assert values["epoch"] == "1"
    assert 0 <= float(values["data_wait"]) < 1
    assert sorted(p.name for p in (run / "pictures").iterdir()) == [
        "epoch_0000.png",
        "epoch_0001.png",
    ]
    assert any((run / "tensorboard").rglob("events*"))
    assert (run / "model.keras").is_file()
    # They have done their work.
    assert not (run / "checkpoints").exists()
    assert "Next: eesmm finetune" in outputs["pretrain"]


def test_corrupt_image_is_skipped_counted_and_named(way):
    root, outputs = way
    assert "on 6 images" in outputs["pretrain"]
    told = re.search(r"Skipped 2 images that cannot be read: (.*)", outputs["pretrain"])[1]
    assert "broken.jpg" in told
    assert "short.jpg" in told
    bad = (root / "run" / "bad_images.txt").read_text()
    assert "broken.jpg" in bad
    assert "short.jpg" in bad


def test_finetune_then_evaluate_then_export(way):
    root, outputs = way
    assert "Validation accuracy" in outputs["finetune"]
    labelled, tuned = root / "labelled", root / "tuned"
    for mode in ("accuracy", "knn", "linear"):
        text = eesmm("evaluate", "--data", labelled, "--weights", tuned, "--mode", mode)
        assert re.search(r" [01]\.\d{4} on 4 images", text), text
    if BACKEND == "tensorflow":
        out = root / "model.onnx"
        text = eesmm("export", "--weights", tuned, "--format", "onnx", "--out", out,
                     "--data", labelled)  # fmt: skip
        assert "differs from Keras by at most" in text
        import onnxruntime

        session = onnxruntime.InferenceSession(out)
        images = np.zeros((3, 32, 32, 3), "uint8")
        assert session.run(None, {"images": images})[0].shape == (3, 2)


def test_reconstruct_draws_a_grid(way):
    root, _ = way
    out = root / "grid.png"
    eesmm("reconstruct", "--weights", root / "run", "--images", root / "photos", "--out", out)
    width, height = Image.open(out).size
    assert width > 7 * 128
    assert height > 3 * 128
    one = root / "photos" / "photo 0.png"
    eesmm("reconstruct", "--weights", root / "run", "--images", one, "--out", out)
    assert Image.open(out).size[1] < height


def test_every_command_heeds_the_limit_on_pictures_and_the_way_of_links(way, tmp_path):
    root, _ = way
    run, small = root / "run", ("--max-image-pixels", "1999")
    one = root / "photos" / "photo 0.png"
    assert "40 pixels, more than the 1999" in error_of(
        "reconstruct", "--weights", run, "--images", one, "--out", tmp_path / "x.png", *small
    )
    evaluate = ("evaluate", "--data", root / "labelled", "--weights", run, "--mode", "knn")
    assert "more than the 1999" in error_of(*evaluate, *small)
    (tmp_path / "linked").mkdir()
    for name in ("cats", "dogs"):
        (tmp_path / "linked" / name).symlink_to(root / "labelled" / name)
    evaluate = ("evaluate", "--data", tmp_path / "linked", *evaluate[3:])
    assert "(follow_links)" in error_of(*evaluate)
    assert "on 4 images" in eesmm(*evaluate, "--follow-links")


def test_init_from_starts_where_the_other_run_ended(way, tmp_path):
    from eesmm_keras.training.weights import load_backbone

    root, _ = way
    eesmm("pretrain", "--data", root / "photos", "--out", tmp_path / "run", *QUICK,
          "--init-from", root / "run", "--set", "learning_rate=0")  # fmt: skip
    first, second = (load_backbone(r) for r in (root / "run", tmp_path / "run"))
    for a, b in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(v.value) for v in (a, b)))


def test_an_unfinished_run_is_not_exported(way, tmp_path):
    root, _ = way
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.yaml").write_text((root / "run" / "config.yaml").read_text())
    text = error_of("export", "--weights", tmp_path / "half", "--format", "onnx",
                    "--out", tmp_path / "m.onnx")  # fmt: skip
    assert "has not finished" in text


def test_weights_of_another_architecture(way, tmp_path):
    root, _ = way
    text = error_of("finetune", "--data", root / "labelled", "--weights", root / "run",
                    "--backbone", "swin_mini_64", "--out", tmp_path / "o")  # fmt: skip
    assert "another architecture" in text
    assert not (tmp_path / "o").exists()


def test_a_folder_that_holds_a_run_is_left_alone(way):
    root, _ = way
    before = (root / "run" / "config.yaml").read_text()
    text = error_of("pretrain", "--data", root / "photos", "--out", root / "run", *QUICK,
                    "--seed", "7")  # fmt: skip
    assert "already holds a run, with other settings: seed is 0 there and 7 here" in text
    assert (root / "run" / "config.yaml").read_text() == before


def test_evaluating_a_run_without_a_head(way):
    root, _ = way
    text = error_of("evaluate", "--data", root / "labelled", "--weights", root / "run")
    assert "Fine-tune it first" in text
    make_photos(root / "others" / "a")
    make_photos(root / "others" / "b")
    text = error_of("evaluate", "--data", root / "others", "--weights", root / "tuned")
    assert "are not those" in text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--backbone", "swin_tinny"], "Did you mean 'swin_tiny'"),
        (["--backbone", "swin_tiny:windowsize=7"], "Did you mean 'window_size'"),
        (["--backbone", "swin_tiny:depths=5"], "depths must be a list"),
        (["--method", "eesm"], "Unknown method 'eesm'. Did you mean 'eesmm'"),
        (["--image-size", "100", "--backbone", "swin_tiny"], "multiple of 32.*96 and 128"),
        (["--gpus", "4"], "sees 0 GPUs.*Leave --gpus away"),
        (["--batch-size", "1"], "must be a multiple of 2"),
        (["--set", "mask_ratoi=0.5"], "Did you mean 'mask_ratio'"),
        (["--set", "learning_rate=many"], "learning_rate must be a number"),
        (["--set", "mask_ratio"], "key=value"),
        (["--set", "mask_ratio=1.5"], "must be a number from 0 to 1, got 1.5"),
        (["--set", "mixing=sum"], "Known: mean, views"),
        (["--epochs", "0"], "a whole number from 1"),
        (["--precision", "float8"], "Unknown precision"),
        (["--recipe", "nothing"], "Unknown recipe"),
        (["--recipe", "nothing.yaml"], "No recipe file"),
        (["--recipe", "digits_finetune"], "is for `eesmm finetune`"),
        (["--init-from", "nowhere"], "does not exist"),
    ],
)
def test_wrong_settings(tmp_path, args, message):
    photos = make_photos(tmp_path / "photos")
    options = {"--backbone": "swin_mini_32", "--epochs": "1", "--batch-size": "4"}
    options.update(zip(args[::2], args[1::2], strict=True))
    flat = [part for pair in options.items() for part in pair]
    text = error_of("pretrain", "--data", photos, "--out", tmp_path / "run", *flat)
    assert re.search(message, text, re.S), text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", "no_such_folder"),
        ("empty", "mpty|no image"),
        ("all_corrupt", "bad.jpg"),
        ("one_image", "2 are mixed into one"),
    ],
)
def test_wrong_data(tmp_path, case, message):
    data = tmp_path / ("no_such_folder" if case == "missing" else "data")
    if case != "missing":
        data.mkdir()
    if case == "all_corrupt":
        for name in ("bad.jpg", "bad2.png"):
            (data / name).write_bytes(b"no image")
    if case == "one_image":
        make_photos(data, 1)
    text = error_of("pretrain", "--data", data, "--out", tmp_path / "run", *SMALL)
    assert re.search(message, text), text
    assert not (tmp_path / "run").exists()


def test_label_folder_with_one_class(tmp_path):
    make_photos(tmp_path / "data" / "only")
    text = error_of("finetune", "--data", tmp_path / "data", "--weights", "none",
                    "--out", tmp_path / "run", *SMALL)  # fmt: skip
    assert "class" in text


def test_out_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    text = error_of("pretrain", "--data", make_photos(tmp_path / "p"),
                    "--out", tmp_path / "file" / "run", *QUICK)  # fmt: skip
    assert "Cannot write" in text
    full = tmp_path / "full"
    full.mkdir()
    (full / "something").write_text("")
    text = error_of("pretrain", "--data", tmp_path / "p", "--out", full, *QUICK)
    assert "not empty" in text


def test_images_smaller_than_the_input_are_enlarged(tmp_path):
    photos = make_photos(tmp_path / "p", 4, size=(9, 7))
    eesmm("pretrain", "--data", photos, "--out", tmp_path / "run", *QUICK, "--batch-size", "4")
    assert (tmp_path / "run" / "model.keras").is_file()


def test_a_child_process_shows_no_traceback(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "eesmm_keras.cli.main", "pretrain", "--data", tmp_path / "none",
         "--out", tmp_path / "run"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr.startswith("Error: ")
    assert "Traceback" not in run.stderr

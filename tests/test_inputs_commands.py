"""Images of five 16-bit bands, not square, through the commands; and what those say of odd ones."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import to_numpy
from eesmm_keras.cli import main as cli
from eesmm_keras.errors import Interrupted, UserError
from eesmm_keras.saving import load_model
from eesmm_keras.training.run_config import read_config
from small_runs import SMALL, stopped_after

tifffile = pytest.importorskip("tifffile")


def eesmm(*args):
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Twelve pictures in two classes; one more has three bands, one is NaN, one cut short."""
    folder, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    for i in range(12):
        path = folder / "ab"[i % 2] / f"{i:02}.tif"
        path.parent.mkdir(exist_ok=True)
        image = rng.integers(0, 3000 * (1 + i % 2), (30, 40, 5)).astype(np.uint16)
        options = {"photometric": "minisblack", "planarconfig": "contig"}
        tifffile.imwrite(path, image, tile=(16, 16) if i % 3 else None, **options)
    tifffile.imwrite(folder / "a" / "50.tif", image[..., :3], photometric="rgb")
    np.save(folder / "a" / "51.npy", np.full((30, 40, 5), np.nan, np.float32))
    (folder / "b" / "52.tif").write_bytes(path.read_bytes()[:2000])
    return folder


def pretrain(scenes, out, *more):
    return eesmm(
        "pretrain", "--method", "simmim", "--data", scenes, "--out", out, "--backbone", SMALL,
        "--image-size", "8,16", "--bands", "5,1,2,4", "--tile", "20", "--epochs", "2",
        "--steps-per-epoch", "2", "--batch-size", "4", "--checkpoint-every", "1", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    text = pretrain(scenes, out)
    assert "Images of 4 channels (bands 5, 1, 2, 4)" in text
    assert "8x16 pixels" in text
    return out


def test_the_run_tells_what_it_left_out_and_keeps_what_it_measured(run):
    bad = (run / "bad_images.txt").read_text()
    assert "50.tif" in bad
    assert "band 5 is asked for" in bad
    assert "cut short" in bad
    statistics = read_config(run / "config.yaml").derived["statistics"]
    backbone = load_model(run / "model.keras").backbone
    assert backbone.image_shape == (8, 16, 4)
    assert backbone.reading["low"] == statistics["low"]
    assert list(backbone.mean) == statistics["mean"]
    assert list((run / "pictures").glob("*.png"))


def test_an_interrupted_run_goes_on_bit_for_bit(run, scenes, tmp_path):
    out = tmp_path / "run"
    with stopped_after(2), pytest.raises(Interrupted):
        pretrain(scenes, out)
    pretrain(scenes, out)
    whole, resumed = (load_model(folder / "model.keras") for folder in (run, out))
    for one, other in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))


def test_later_commands_read_images_as_the_run_did(run, scenes, tmp_path):
    tuned, file = tmp_path / "tuned", tmp_path / "classifier.onnx"
    text = eesmm("finetune", "--data", scenes, "--weights", run, "--out", tuned, "--epochs", "1",
                 "--steps-per-epoch", "1", "--batch-size", "4", "--set", "mixup_alpha=0.8")  # fmt: skip
    assert "Images of 4 channels" in text
    assert "measured" not in text
    assert "accuracy" in eesmm("evaluate", "--data", scenes, "--weights", tuned)
    eesmm("export", "--weights", tuned, "--format", "onnx", "--out", file, "--data", scenes)
    import onnx

    facts = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    taken = json.loads(facts["input"])
    backbone = load_model(run / "model.keras").backbone
    assert (taken["dtype"], taken["shape"]) == ("float32", ["batch", 8, 16, 4])
    assert taken["raw_high"] == backbone.reading["high"]
    assert json.loads(facts["reading"])["bands"] == [5, 1, 2, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bands", "6"], "band 6 is asked for"),
        (["--tile", "64"], "less than the tile of 64 x 64"),
        (["--bands", "1,2", "--channels", "3"], "do not fit together"),
        (["--bands", "0"], "bands takes whole numbers from 1"),
        (["--stats", "imagenet"], "imagenet is of 3 channels"),
        (["--stats", "none.yaml"], "expected auto, imagenet or a file"),
        (["--max-bad-images", "0"], "more than the 0 that may be skipped"),
    ],
)
def test_what_does_not_fit_the_images_is_one_line(options, message, scenes, tmp_path):
    with pytest.raises(UserError, match=message) as caught:
        pretrain(scenes, tmp_path / "run", *options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_colours_are_not_changed_where_there_are_none(run, scenes, tmp_path):
    with pytest.raises(UserError, match="rand_augment_magnitude works on 8-bit RGB"):
        eesmm("finetune", "--data", scenes, "--weights", run, "--out", tmp_path / "run",
              "--set", "rand_augment_magnitude=0.5")  # fmt: skip


def test_doctor_measures_what_a_run_would_see(scenes, tmp_path):
    text = eesmm("doctor", "--data", scenes, "--backbone", SMALL, "--no-trial", "--bands", "2,1",
                 "--ends", "percentiles", "--write-stats", tmp_path / "stats.yaml")  # fmt: skip
    assert "Pixels of 13 images, uint16" in text
    assert "uint16 x 5" in text
    found = pretrain(scenes, tmp_path / "run", "--bands", "2,1", "--stats", tmp_path / "stats.yaml")
    assert "Images of 2 channels (bands 2, 1)" in found

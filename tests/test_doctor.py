"""What doctor finds, against what is there."""

import contextlib

import keras
import pytest
from click.testing import CliRunner
from PIL import Image

from conftest import TINY_SWIN
from eesmm_keras.cli import main as cli
from eesmm_keras.data.sources import open_source
from eesmm_keras.errors import UserError
from eesmm_keras.studies.doctor import report
from eesmm_keras.studies.doctor.report import doctor
from eesmm_keras.studies.doctor.trial import SHARE, find_batch, largest_batch, try_step
from eesmm_keras.training.settings import resolve

SMALL = {"backbone": TINY_SWIN, "decoder_dim": 32, "decoder_num_heads": 4, "mask_bank_size": 4}


@pytest.fixture
def folder(tmp_path):
    """Twelve cats (one empty file, one noisy PNG whose data are damaged) and one dog, twice."""
    (tmp_path / "cats").mkdir()
    (tmp_path / "dogs").mkdir()
    for i in range(12):
        Image.new("RGB" if i % 2 else "L", (40 + i, 30)).save(tmp_path / "cats" / f"{i:02}.png")
    (tmp_path / "cats" / "00.png").write_bytes(b"")
    for name in ("rex.png", "Rex.jpg"):
        Image.new("RGB", (100, 90)).save(tmp_path / "dogs" / name)
    Image.new("L", (40, 30)).save(tmp_path / "cats" / "gif.gif")
    data = bytearray((tmp_path / "cats" / "gif.gif").read_bytes())
    data[-6:-1] = b"\xff" * 5  # only decoding finds it
    (tmp_path / "cats" / "gif.gif").write_bytes(data)
    (tmp_path / "link").symlink_to(tmp_path.parent)
    return tmp_path


def examined(folder, **options):
    lines = []
    settings = resolve("pretrain", options={"data": str(folder), **SMALL, **options})
    result = doctor(settings, say=lines.append, trial=False, thorough=True)
    return result, "\n".join(lines)


def test_what_is_said_of_a_folder_is_what_is_there(folder):
    result, text = examined(folder)
    (part,) = result["parts"]
    source = open_source(folder)
    for i in range(len(source)):
        with contextlib.suppress(UserError):
            source.load(i)
    assert (len(source), part.count) == (14, 13)
    assert part.bad == source.bad
    assert part.classes == {"cats": 12, "dogs": 2}
    assert part.duplicates == [["dogs/Rex.jpg", "dogs/rex.png"]]
    assert part.modes == {"RGB": 8, "L": 5, "P": 1}
    assert part.links == 1
    assert "pixels: 40x30 to 100x90" in text
    assert "from 2 images (dogs) to 12 (cats)" in text
    assert "rex.png" in text
    assert "1 link leads out" in text
    assert result["decode"] > 0


def test_bad_images_beyond_what_a_run_skips_are_warned_of_and_listed(folder, tmp_path):
    assert "a run skips them" in examined(folder)[1]
    assert "more than the 0 that a run skips" in examined(folder, max_bad_images=0)[1]
    result = CliRunner().invoke(
        cli.group,
        ["doctor", "--data", str(folder), "--no-trial", "--list", str(tmp_path / "bad.txt"),
         "--backbone", TINY_SWIN],
    )  # fmt: skip
    assert result.exception is None, result.exception
    assert "00.png: is empty (zero bytes)\n" in (tmp_path / "bad.txt").read_text()


def test_a_folder_without_labels_and_a_data_set_without_files(folder):
    assert "no labels" in examined(folder / "cats")[1]
    result, text = examined("digits")
    assert [part.name for part in result["parts"]] == ["train", "val", "test"]
    assert sum(part.count for part in result["parts"]) == 1797
    assert "will be enlarged" in text


def fake_machine(base, each, limit):
    """A step that takes `base + each * batch` bytes; more than the limit fails the test."""

    def step(settings, batch):
        peak = base + each * batch
        assert peak <= limit, f"batch {batch} was tried"
        return {"batch": batch, "peak": peak, "limit": limit, "seconds": 0.1}

    return step


@pytest.mark.parametrize("group", [1, 2, 3])
def test_the_largest_batch_is_found_without_filling_the_memory(group):
    for wanted in (group, 8 * group, 1000 * group):
        trials, largest = find_batch({}, wanted, group, fake_machine(1000, 10, 2500))
        assert largest == int((SHARE * 2500 - 1000) / 10) // group * group
        assert (wanted in [trial["batch"] for trial in trials]) == (wanted <= largest)


def test_a_trial_that_fails_bounds_the_batch():
    good = {"batch": 4, "peak": 10, "limit": 1000}
    assert largest_batch([good, {"batch": 16, "failure": "too much"}], 2) == 14
    assert largest_batch([{"batch": 4, "failure": "too much"}], 2) == 0


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="a child process compiles a model: once is enough on the CPU",
)
def test_a_trial_tells_time_memory_and_the_size_of_a_checkpoint(monkeypatch, tmp_path):
    """One real step in a child; the others repeat its figures."""
    once = []

    def try_once(settings, batch):
        once.append(try_step(settings, batch) if not once else {**once[0], "batch": batch})
        return once[-1]

    monkeypatch.setattr(
        report, "find_batch", lambda *arguments: find_batch(*arguments, try_step=try_once)
    )
    lines = []
    settings = resolve(
        "pretrain", options={"data": "digits", "out": str(tmp_path / "run"), **SMALL}
    )
    result = doctor(settings, say=lines.append)
    assert result["steps"] == round(1438 / 64)
    trial = once[0]
    assert 0 < trial["seconds"] < trial["first_s"]
    assert 2**27 < trial["peak"] < trial["limit"]
    # Weights and AdamW's two moments, but for what is not trained.
    assert 2.9 < result["checkpoint"] / (4 * trial["parameters"]) < 3.2
    assert any("An epoch: 22 steps of 64 images" in line for line in lines)


def test_wrong_names_are_told(folder):
    with pytest.raises(UserError, match="Did you mean 'swin_tiny'"):
        examined(folder, backbone="swin_tinny")
    with pytest.raises(UserError, match="no folder"):
        examined(folder / "none")


def test_a_batch_that_a_run_would_refuse_is_refused_before_any_trial(folder):
    settings = resolve("pretrain", options={"data": str(folder / "cats"), **SMALL, "batch_size": 7})
    with pytest.raises(UserError, match="--batch-size 7 must be a multiple of 2"):
        doctor(settings, say=lambda line: None)

"""Images that turn bad while a run trains."""

import keras
import pytest
from PIL import Image

from conftest import one_hot
from eesmm_keras.data import image_source
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import labelled_dataset
from eesmm_keras.training.bad_images import allowed_bad, bad_images_listed, open_images
from eesmm_keras.training.runs import Run
from eesmm_keras.training.settings import resolve


@pytest.fixture
def data(tmp_path):
    """Sixteen good images in two classes."""
    for i in range(16):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (9 * i, 0, 0)).save(path)
    return tmp_path / "data"


def vanishing(monkeypatch, calls):
    """After so many readings every file is gone, as when a disk drops out."""
    read, seen = image_source.read_rgb, []

    def read_or_fail(path, *args):
        seen.append(path)
        return read(path if len(seen) <= calls else "gone", *args)

    monkeypatch.setattr(image_source, "read_rgb", read_or_fail)


def test_too_many_that_vanish_end_the_run_with_a_plain_error_and_a_list(
    data, tmp_path, monkeypatch
):
    source = open_images(resolve("pretrain", options={"data": str(data), "max_bad_images": 3}))
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "categorical_crossentropy")
    batches = labelled_dataset(source, 8, 4, targets=one_hot(2))
    vanishing(monkeypatch, 26)
    with (
        pytest.raises(DataError, match=r"^\d+ images.*more than the 3.*not there.*max-bad-images"),
        bad_images_listed(Run(tmp_path), source),
    ):
        model.fit(batches, steps_per_epoch=100, verbose=0)
    lines = (tmp_path / "bad_images.txt").read_text().splitlines()
    assert len(lines) >= 4
    assert all("not there" in line for line in lines)


def test_settings_say_what_is_read(data):
    (data / "a" / "empty.png").touch()
    (data / "b" / "link").symlink_to(data.parent)

    def opened(**options):
        return open_images(resolve("pretrain", options={"data": str(data), **options}))

    assert [len(opened().bad), len(opened(max_image_pixels=81))] == [1, 16]
    with pytest.raises(DataError, match=r"None of the 17.*9 x 9 pixels, more than the 80"):
        opened(max_image_pixels=80)
    with pytest.raises(DataError, match=r"1 image of .*more than the 0"):
        opened(max_bad_images=0)
    assert "1 link(s)" in opened().note
    assert opened(follow_links=True).note == ""


def test_the_list_grows_over_the_parts_of_a_run(tmp_path):
    run = Run(tmp_path)

    class Source:
        bad, failure = [("a", "is bad")], None

    with bad_images_listed(run, Source()):
        assert (tmp_path / "bad_images.txt").read_text() == "a: is bad\n"
    Source.bad = [("a", "is bad"), ("b", "is worse")]
    with pytest.raises(KeyError), bad_images_listed(run, Source()):
        raise KeyError
    assert (tmp_path / "bad_images.txt").read_text() == "a: is bad\nb: is worse\n"


def test_how_many_may_be_bad_by_default():
    assert [allowed_bad(n) for n in (5, 50_000)] == [100, 500]
    assert allowed_bad(50_000, 0) == 0

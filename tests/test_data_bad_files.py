"""Files that are no images: left out, named, and too many of them."""

import os
import threading

import numpy as np
import pytest
from PIL import Image

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.sources import open_source


def save(path, value=0, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def fill(folder, classes=("cats", "dogs"), count=10):
    for label, name in enumerate(classes):
        for i in range(count):
            save(folder / name / f"{i:02}.png", 20 * label + i)


def names(source):
    return [source.describe(i) for i in range(len(source))]


def test_more_bad_images_than_allowed_stop_the_reading(tmp_path):
    fill(tmp_path, count=3)
    (tmp_path / "cats" / "empty.jpg").write_bytes(b"")
    source = open_source(tmp_path)
    with pytest.raises(DataError, match=r"1 image of.*more than the 0.*empty\.jpg.*max-bad-images"):
        source.limit_bad(0)
    source = open_source(tmp_path)
    source.limit_bad(2)
    for i in range(2):
        os.unlink(names(source)[i])
    with pytest.raises(DataError, match=r"3 images.*more than the 2"):
        source.load_good(0)
    assert "3 images" in str(source.failure)


def test_bad_files_among_good_ones_are_left_out_and_named(tmp_path):
    fill(tmp_path, count=3)
    (tmp_path / "cats" / "empty.jpg").write_bytes(b"")
    (tmp_path / "dogs" / "text.png").write_text("no image")
    source = open_source(tmp_path)
    assert len(source) == 6
    np.testing.assert_array_equal(source.labels, [0, 0, 0, 1, 1, 1])
    assert [os.path.basename(what) for what, _ in source.bad] == ["empty.jpg", "text.png"]
    assert [("zero bytes" in why, "readable" in why) for _, why in source.bad] == [
        (True, False),
        (False, True),
    ]


def test_nothing_but_bad_files_is_an_error_that_names_some(tmp_path):
    for i in range(5):
        (tmp_path / f"{i}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"None of the 5.*0\.jpg.*and so on"):
        open_source(tmp_path)


def truncate(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-300])


def test_a_truncated_file_is_left_out(tmp_path):
    fill(tmp_path, count=3)
    truncate(tmp_path / "cats" / "01.jpg")
    source = open_source(tmp_path)
    assert len(source) == 6
    assert [(os.path.basename(what), "truncated" in why) for what, why in source.bad] == [
        ("01.jpg", True)
    ]


def test_a_file_cut_short_later_is_found_at_loading_replaced_and_recorded_once(tmp_path):
    fill(tmp_path, count=3)
    save(tmp_path / "cats" / "01.jpg")
    source = open_source(tmp_path)
    truncate(tmp_path / "cats" / "01.jpg")
    assert (len(source), source.bad) == (7, [])
    broken = names(source).index(str(tmp_path / "cats" / "01.jpg"))

    def load():
        for _ in range(20):
            assert source.load_good(broken)[1] == broken + 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(DataError, match=r"01\.jpg.*truncated"):
        source.load(broken)
    assert [what for what, _ in source.bad] == [str(tmp_path / "cats" / "01.jpg")]


def test_load_good_wraps_around_and_gives_up_when_nothing_is_left(tmp_path):
    save(tmp_path / "a.png")
    save(tmp_path / "b.jpg")
    source = open_source(tmp_path)
    truncate(tmp_path / "b.jpg")
    assert source.load_good(1)[1] == 0
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"None of the 1"):
        open_source(tmp_path)
    with pytest.raises(DataError, match=r"None of the 2.*not there"):
        source.load_good(0)

"""What the sources of this package find, and how they divide it."""

import os
import sys

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


def test_class_folders(tmp_path):
    fill(tmp_path)
    source = open_source(tmp_path, labelled=True)
    assert source.class_names == ("cats", "dogs")
    np.testing.assert_array_equal(source.labels, [0] * 10 + [1] * 10)
    assert source.labels.dtype == np.int64
    assert source.load(13).getpixel((0, 0)) == (23, 23, 23)
    assert source.describe(13) == str(tmp_path / "dogs" / "03.png")
    assert (source.bad, source.note, source.name) == ([], "", str(tmp_path))


def test_split_off_validation_is_disjoint_stratified_and_stable(tmp_path):
    fill(tmp_path)
    train, val = open_source(tmp_path, "train"), open_source(tmp_path, "val")
    assert sorted(names(train) + names(val)) == names(open_source(tmp_path))
    np.testing.assert_array_equal(np.bincount(val.labels), [2, 2])
    np.testing.assert_array_equal(np.bincount(train.labels), [8, 8])
    assert names(val) == names(open_source(str(tmp_path), "val"))
    assert names(val) != names(open_source(tmp_path, "val", seed=1))
    assert len(open_source(tmp_path, "val", val_fraction=0.5)) == 10


def test_missing_test_images_are_the_validation_images_and_said_to_be(tmp_path):
    fill(tmp_path)
    test = open_source(tmp_path, "test")
    assert names(test) == names(open_source(tmp_path, "val"))
    assert "validation" in test.note


def test_a_file_that_turns_bad_moves_no_other(tmp_path):
    fill(tmp_path)
    before = names(open_source(tmp_path, "val"))
    victim = names(open_source(tmp_path, "train"))[0]
    with open(victim, "wb"):
        pass
    assert names(open_source(tmp_path, "val")) == before
    assert [what for what, _ in open_source(tmp_path, "train").bad] == [victim]


@pytest.mark.parametrize("val_name", ["val", "validation"])
def test_parts(val_name, tmp_path):
    fill(tmp_path / "train", count=5)
    fill(tmp_path / val_name, classes=["dogs"], count=3)
    assert len(open_source(tmp_path)) == len(open_source(tmp_path, "train")) == 10
    val = open_source(tmp_path, "val", labelled=True)
    # One class of the two: numbered as in train.
    np.testing.assert_array_equal(val.labels, [1, 1, 1])
    assert val.class_names == ("cats", "dogs")
    assert names(open_source(tmp_path, "test")) == names(val)
    fill(tmp_path / "test", count=1)
    test = open_source(tmp_path, "test")
    assert (len(test), test.note) == (2, "")


def test_validation_comes_from_train_where_only_train_exists(tmp_path):
    fill(tmp_path / "train", count=5)
    assert [len(open_source(tmp_path, split)) for split in (None, "train", "val")] == [10, 8, 2]


def test_a_class_may_be_called_train(tmp_path):
    fill(tmp_path, classes=("car", "plane", "train"), count=2)
    assert open_source(tmp_path).class_names == ("car", "plane", "train")


def test_an_unknown_class_in_val_is_named(tmp_path):
    fill(tmp_path / "train")
    fill(tmp_path / "val", classes=("cats", "cows"))
    with pytest.raises(DataError, match=r"cows"):
        open_source(tmp_path, "val")


def test_flat_folder_is_recursive_sorted_and_skips_what_is_hidden_or_foreign(tmp_path):
    for name in ("b.PNG", "a.jpg", "deep/er/c.webp", ".hidden.png", ".git/d.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    source = open_source(tmp_path)
    assert source.labels is source.class_names is None
    found = [os.path.relpath(name, tmp_path) for name in names(source)]
    assert found == ["a.jpg", "b.PNG", os.path.join("deep", "er", "c.webp")]


def test_one_subfolder_is_a_flat_folder(tmp_path):
    fill(tmp_path, classes=["images"])
    assert open_source(tmp_path).labels is None


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    fill(tmp_path / "outside")
    inside = tmp_path / "inside"
    save(inside / "own.png")
    (inside / "folder").symlink_to(tmp_path / "outside")
    (inside / "file.png").symlink_to(tmp_path / "outside" / "cats" / "00.png")
    (inside / "alias.png").symlink_to(inside / "own.png")
    source = open_source(inside)
    assert [os.path.basename(name) for name in names(source)] == ["alias.png", "own.png"]
    assert "2 link(s)" in source.note


def test_links_out_of_the_folder_are_followed_on_request_and_never_in_circles(tmp_path):
    fill(tmp_path / "outside", count=2)
    (tmp_path / "outside" / "cats" / "up").symlink_to(tmp_path / "outside")
    (tmp_path / "outside" / "cats" / "back").symlink_to(tmp_path / "inside")
    save(tmp_path / "single.png")
    inside = tmp_path / "inside"
    save(inside / "own" / "a.png")
    (inside / "linked").symlink_to(tmp_path / "outside")
    (inside / "file.png").symlink_to(tmp_path / "single.png")
    (inside / "broken.png").symlink_to(tmp_path / "nothing.png")
    source = open_source(inside, follow_links=True)
    assert [os.path.relpath(name, inside) for name in names(source)] == [
        "file.png",
        *(os.path.join("linked", name, f"0{i}.png") for name in ("cats", "dogs") for i in (0, 1)),
        os.path.join("own", "a.png"),
    ]
    assert [(os.path.basename(what), why) for what, why in source.bad] == [
        ("broken.png", "is not a readable image: it is not there (any more)")
    ]
    assert source.note == ""


def test_a_larger_picture_than_allowed_is_left_out(tmp_path):
    save(tmp_path / "small.png", size=(10, 10))
    save(tmp_path / "large.png", size=(11, 10))
    source = open_source(tmp_path, max_image_pixels=100)
    assert [os.path.basename(name) for name in names(source)] == ["small.png"]
    assert "11 x 10 pixels" in source.bad[0][1]
    assert len(open_source(tmp_path)) == 2


def test_odd_names_are_told_on_one_line_without_control_letters(tmp_path):
    for name in (b"new\nline.png", b"\xff.png", b"\x1b[31mred.png"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    save(tmp_path / "good.png")
    for what, _ in open_source(tmp_path).bad:
        assert what.isprintable()
        what.encode("utf-8")


def test_missing_empty_and_no_folder_each_have_their_text(tmp_path):
    with pytest.raises(DataError, match=r"no folder"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no images.*webp"):
        open_source(tmp_path)
    save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"is a file"):
        open_source(tmp_path / "a.png")


def test_labels_are_demanded(tmp_path):
    save(tmp_path / "flat" / "a.png")
    with pytest.raises(DataError, match=r"no class folders.*one folder per class"):
        open_source(tmp_path / "flat", labelled=True)
    save(tmp_path / "single" / "cats" / "a.png")
    with pytest.raises(DataError, match=r"one class, 'cats'.*needs two"):
        open_source(tmp_path / "single", labelled=True)


@pytest.mark.parametrize(
    "arguments", [{"split": "dev"}, {"split": "val", "val_fraction": 1.0}, {"seed": -1}]
)
def test_arguments_are_checked(arguments, tmp_path):
    fill(tmp_path)
    with pytest.raises(DataError, match=r"split must|val_fraction must|seed must"):
        open_source(tmp_path, **arguments)


def test_one_image_cannot_be_divided(tmp_path):
    save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"Cannot split"):
        open_source(tmp_path, "val")


def test_digits():
    parts = {split: open_source("digits", split) for split in (None, "train", "val", "test")}
    sizes = {split: len(source) for split, source in parts.items()}
    assert sizes[None] + sizes["test"] == 1797
    assert sizes["train"] + sizes["val"] == sizes[None]
    assert set(names(parts["train"])).isdisjoint(names(parts["val"]))
    assert set(names(parts[None])).isdisjoint(names(parts["test"]))
    for source in parts.values():
        assert np.ptp(np.bincount(source.labels, minlength=10)) <= 0.1 * len(source)
    assert parts["test"].class_names == tuple("0123456789")
    image = np.asarray(parts["test"].load(0))
    assert (image.shape, image.dtype, image.max()) == ((8, 8, 3), np.uint8, 255)


def test_photo_tiles_of_test_share_no_pixel_with_the_others():
    parts = {split: open_source("photo-tiles", split) for split in (None, "train", "val", "test")}
    assert [len(parts[split]) for split in (None, "train", "val", "test")] == [4000, 3200, 800, 960]
    assert parts["test"].class_names[0] == "astronaut"
    border = 358  # 70 % of the 512 pixels of the first photograph
    for part, source in parts.items():
        for i in np.flatnonzero(source.labels == 0):
            x = int(source.describe(i).split(" at ")[1].split(",")[0])
            assert x >= border if part == "test" else x + 32 <= border
    assert parts["train"].load(0).size == (32, 32)


def test_photo_tiles_are_the_same_whatever_the_seed():
    first, second = (open_source("photo-tiles", "test", seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(first.load(7), second.load(7))


def test_photo_tiles_name_the_extra_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(DataError, match=r"eesmm-keras\[demo\]"):
        open_source("photo-tiles")


def test_digits_test_images_do_not_depend_on_the_seed():
    first, second = (open_source("digits", "test", seed=seed) for seed in (0, 1))
    assert names(first) == names(second)
    assert names(open_source("digits", "val")) != names(open_source("digits", "val", seed=1))

"""Masks as labels: how they are read and shown."""

import re

import numpy as np
import pytest
from PIL import Image

from eesmm_keras.data.augmentation import Augmentation
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import evaluation_dataset, labelled_dataset
from eesmm_keras.data.sources import open_source
from eesmm_keras.evaluation.segmentation.colours import colours, overlay
from mask_data import NUMBERS, make_masks


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("masks") / "data"
    make_masks(root, part="train")
    make_masks(root, 4, part="val", seed=1)
    return make_masks(root, 4, part="test", seed=2)


def squares(root):
    """Images that are their masks: class k has the grey value 60 k."""
    make_masks(root, 8)
    for path in (root / "masks").iterdir():
        mask = np.asarray(Image.open(path))
        picture = np.zeros(mask.shape, np.uint8)
        for k, number in enumerate(NUMBERS.values()):
            picture[mask == number] = 60 * k
        Image.fromarray(picture).save(root / "images" / path.name)
    return open_source(root, labelled="masks")


@pytest.mark.parametrize("view", ["random", "whole"])
def test_a_mask_is_shown_as_its_image_is(tmp_path, view):
    source = squares(tmp_path)
    if view == "whole":
        batches = evaluation_dataset(source, (24, 20), 4, whole=True)
    else:
        batches = labelled_dataset(source, (24, 20), 4, targets=lambda masks: masks, steps=6,
                                   augmentation=Augmentation(crop_scale=(0.3, 1.0)))  # fmt: skip
    agree, mirrored = [], 0
    for images, masks in batches:
        assert (images.shape[1:], masks.shape[1:]) == ((24, 20, 3), (24, 20))
        values, masks = images.numpy()[..., 0].astype(int), masks.numpy()
        counted = masks < 3
        # Its value is nearest to that of its class; but for edges, where it is between two.
        agree.append((np.abs(values - 60 * masks)[counted] <= 30).mean())
        mirrored += (np.abs(values - 60 * masks[:, :, ::-1])[counted[:, :, ::-1]] <= 30).mean()
    assert np.mean(agree) > 0.9
    assert mirrored / len(agree) < np.mean(agree) - 0.05


def test_batches_are_a_function_of_seed_and_step(data):
    source = open_source(data, "train", labelled="masks")
    arguments = {"targets": lambda masks: masks, "augmentation": Augmentation(), "seed": 3}
    whole = list(labelled_dataset(source, 16, 4, steps=5, **arguments))
    later = list(labelled_dataset(source, 16, 4, steps=5, start_step=2, **arguments))
    for one, other in zip(whole[2:], later, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    other_seed = next(iter(labelled_dataset(source, 16, 4, **{**arguments, "seed": 4})))
    assert (other_seed[1].numpy() != whole[0][1].numpy()).any()


def test_numbers_in_the_files_become_classes(data):
    source = open_source(data, "test", labelled="masks")
    assert source.class_names == ("ground", "green", "blue")
    assert source.labels is None
    (mask,) = source.annotations.at([1])
    file = np.asarray(Image.open(data / "test" / "masks" / "01.png"))
    np.testing.assert_array_equal(mask == 255, file == 1)
    for k, number in enumerate(NUMBERS.values()):
        np.testing.assert_array_equal(mask == k, file == number)
    assert len(open_source(data)) == 12  # masks are no images to pre-train on


def save_palette(path):
    image = Image.fromarray(np.asarray(Image.open(path)))
    image.putpalette([255, 0, 0, 0, 255, 0] * 128)
    image.save(path)
    assert Image.open(path).mode == "P"


def save_deep(path):
    Image.fromarray(np.asarray(Image.open(path)).astype(np.uint16)).save(path)


@pytest.mark.parametrize("save", [save_palette, save_deep])
def test_masks_with_a_palette_and_of_sixteen_bits(tmp_path, save):
    source = open_source(make_masks(tmp_path, 3), labelled="masks")
    before = source.annotations.at(range(len(source)))
    for path in (tmp_path / "masks").iterdir():
        save(path)
    for old, new in zip(before, source.annotations.at(range(len(source))), strict=True):
        np.testing.assert_array_equal(old, new)


def spoil(path, what):
    mask = np.asarray(Image.open(path)).copy()
    if what == "missing":
        path.unlink()
    elif what == "cut":
        path.write_bytes(path.read_bytes()[:60])
    else:
        spoilt = {"number": mask + 9, "size": mask[:-1], "colours": np.stack([mask] * 3, -1)}
        Image.fromarray(spoilt[what]).save(path)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("missing", "has no mask: .*02.png is not there"),
        ("cut", "has a mask, .*02.png, that"),
        ("number", "has a mask, .*02.png, with the number 10, which classes.json does not know"),
        ("size", "has 40 x 32 pixels, upright, and its mask .*02.png has 40 x 31: they must be"),
        ("colours", "has a mask, .*02.png, that is a picture of mode RGB: expected a PNG with one"),
    ],
)
def test_an_image_whose_mask_is_bad_is_a_bad_image(tmp_path, what, reason):
    spoil(make_masks(tmp_path, 6, "train") / "train" / "masks" / "02.png", what)
    make_masks(tmp_path, 2, "val")
    source = open_source(tmp_path, "train", labelled="masks")
    ((images, masks),) = evaluation_dataset(source, 16, 8)
    assert (len(images), len(masks)) == (5, 5)
    ((name, told),) = source.bad
    assert name.endswith("02.png")
    assert re.search(reason, told)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "must hold names"),
        ('{"names": ["a", 2]}', "must hold names"),
        ('{"names": ["a", "b"], "ignore": 1}', "2 to 254 different classes beside the ignored"),
        ('{"names": ["a", "a"]}', "got 1 different of 2"),
        ('{"names": ["a", "b"], "ignore": "c"}', "ignore must be null or a number from 0"),
        ("{", "cannot be read"),
    ],
)
def test_a_wrong_classes_file_is_told(tmp_path, content, message):
    (make_masks(tmp_path, 2) / "classes.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        open_source(tmp_path)
    assert "\n" not in str(caught.value)


def test_colours_are_those_of_pascal_voc():
    assert colours(4).tolist() == [[128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]
    picture = overlay(np.full((4, 4, 3), 100, np.uint8), np.array([[0, 255]], np.uint8), 1)
    assert np.asarray(picture)[0, [0, 3]].tolist() == [[116, 39, 39], [100, 100, 100]]

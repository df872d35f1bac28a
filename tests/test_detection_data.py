"""Boxes as labels: how they are read and shown."""

import contextlib
import json
import re

import numpy as np
import pytest

from box_data import CATEGORIES, changed, make_boxes
from eesmm_keras.data.augmentation import Augmentation
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import evaluation_dataset, labelled_dataset
from eesmm_keras.data.sources import open_source
from eesmm_keras.ops.box_marks import CROWD, NO_BOX


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("boxes") / "data"
    make_boxes(root, part="train")
    make_boxes(root, 4, part="val", seed=1)
    return make_boxes(root, 6, part="test", seed=2)


@pytest.mark.parametrize("view", ["random", "whole"])
def test_boxes_are_shown_as_their_images_are(tmp_path, view):
    """Every box is where the colour of its class is, whatever was cut out, scaled and mirrored."""
    source = open_source(make_boxes(tmp_path, 12, most=1), labelled="boxes")
    if view == "whole":
        batches = evaluation_dataset(source, (24, 20), 4, whole=True)
    else:
        batches = labelled_dataset(source, (24, 20), 4, targets=lambda rows: rows, steps=30,
                                   augmentation=Augmentation(crop_scale=(0.3, 1.0)))  # fmt: skip
    there = gone = 0
    for images, rows in batches:
        assert (images.shape[1:], rows.shape[1:], rows.dtype) == ((24, 20, 3), (1, 5), "float32")
        for image, (kind, *box) in zip(images.numpy(), rows.numpy()[:, 0], strict=True):
            # Blue is the second class, and the third colour.
            coloured = [image[..., 1 + k] > 110 for k in (0, 1)]
            if kind == NO_BOX:  # at most a quarter of the largest box, 16 x 16 of 40 x 32 pixels
                most = 0.25 * 16 * 16 * (24 * 20) / (0.3 * 40 * 32)
                assert coloured[0].sum() + coloured[1].sum() <= most
                gone += 1
                continue
            y, x = np.nonzero(coloured[int(kind)])
            found = (x.min(), y.min(), x.max() + 1, y.max() + 1)
            np.testing.assert_allclose(box, found, atol=1)
            there += 1
    assert there > 8
    assert gone >= 3  # a quarter of the images has none


def test_batches_are_a_function_of_seed_and_step(data):
    source = open_source(data, "train", labelled="boxes")
    arguments = {"targets": lambda rows: rows, "augmentation": Augmentation(), "seed": 3}
    whole = list(labelled_dataset(source, 16, 4, steps=5, **arguments))
    later = list(labelled_dataset(source, 16, 4, steps=5, start_step=2, **arguments))
    for one, other in zip(whole[2:], later, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    other_seed = next(iter(labelled_dataset(source, 16, 4, **{**arguments, "seed": 4})))
    assert (other_seed[1].numpy() != whole[0][1].numpy()).any()


def test_categories_become_classes_and_crowds_count_nowhere(tmp_path):
    make_boxes(tmp_path, 4)
    changed(tmp_path, lambda content: content["annotations"][0].update(iscrowd=1))
    source = open_source(tmp_path, labelled="boxes")
    assert source.class_names == tuple(CATEGORIES.values())
    assert source.labels is None
    content = json.loads((tmp_path / "annotations.json").read_text())
    for k, truth in enumerate(source.annotations.at(range(4))):
        rows = [entry for entry in content["annotations"] if entry["image_id"] == 100 + k]
        expected = [[x, y, x + w, y + h] for x, y, w, h in (entry["bbox"] for entry in rows)]
        assert truth.boxes.tolist() == expected
        kinds = [list(CATEGORIES).index(entry["category_id"]) for entry in rows]
        assert (truth.classes.tolist(), truth.size) == (kinds, (40, 32))
    assert len(truth.boxes) == 0  # the fourth image has none
    ((_, rows),) = evaluation_dataset(source, (32, 40), 4, whole=True)
    assert rows.numpy()[0, 0, 0] == CROWD
    assert len(open_source(tmp_path)) == 4


def test_the_files_of_coco_may_lie_beside_the_folders_of_images(data, tmp_path):
    for part in ("train", "test"):
        content = json.loads((data / part / "annotations.json").read_text())
        for entry in content["images"]:
            entry["file_name"] = f"{part}/{entry['file_name']}"
        (tmp_path / f"instances_{part}.json").write_text(json.dumps(content))
        (tmp_path / part).symlink_to(data / part / "images")
    source = open_source(tmp_path, "test", labelled="boxes", follow_links=True)
    expected = open_source(data, "test", labelled="boxes")
    for one, other in zip(*(s.annotations.at(range(6)) for s in (source, expected)), strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
    with pytest.raises(DataError, match="is a link that leads out of the folder"):
        open_source(tmp_path, "test", labelled="boxes")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bbox": [30, 3, 12, 9]}, r"has a box outside of its 40 x 32 pixels: \[30, 3, 12, 9\]"),
        ({"bbox": [3, 3, 0, 9]}, "has a box without an area"),
        ({"bbox": [3, 3, 9]}, "has a bbox that is not four numbers"),
        ({"bbox": [3, 3, float("nan"), 9]}, "has a bbox that is not four numbers"),
        ({"category_id": 5}, "has a box of a category that is not listed: 5"),
        ({"category_id": [5]}, "has a box of a category that is not listed"),
        ({"file_name": "none.png"}, "is not there"),
        ({"file_name": "../annotations.json"}, "is not the name of a file below"),
        ({"width": 41}, "has 40 x 32 pixels, upright, and its annotations say 41 x 32"),
        ({"width": "40"}, "has no width and height in its annotations"),
    ],
)
def test_an_image_whose_annotations_are_bad_is_a_bad_image(tmp_path, change, reason):
    make_boxes(tmp_path, 6, "train")
    make_boxes(tmp_path, 2, "val")
    kind = "annotations" if change.keys() & {"bbox", "category_id"} else "images"
    changed(tmp_path, lambda content: content[kind][0].update(change), "train")
    source = open_source(tmp_path, "train", labelled="boxes")
    for i in range(len(source)):
        with contextlib.suppress(DataError):
            source.load_labelled(i)
    assert len(source.good_indices()) == 5
    ((name, told),) = source.bad
    assert name.endswith((".png", ".json"))
    assert re.search(reason, told)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("images"), "must hold lists called images, annotations, categories"),
        (lambda c: c.update(images=[]), "an annotation is of no image"),
        (lambda c: c["annotations"][0].update(image_id=5), "an annotation is of no image of the"),
        (lambda c: c["images"][0].pop("id"), "every image needs a file_name and an id"),
        (lambda c: c["images"][0].update(id=101), "two images have the same id"),
        (lambda c: c["categories"][0].pop("name"), "every category needs a name and an id"),
        (lambda c: c["categories"][0].update(name="blue"), "one category or more, each once"),
    ],
)
def test_a_wrong_file_of_annotations_is_told(tmp_path, change, message):
    changed(make_boxes(tmp_path, 3), change)
    with pytest.raises(DataError, match=message) as caught:
        open_source(tmp_path, labelled="boxes")
    assert "\n" not in str(caught.value)


def test_other_categories_than_those_of_the_train_part_are_told(data, tmp_path):
    make_boxes(tmp_path, 3, "train")
    make_boxes(tmp_path, 3, "test")
    changed(tmp_path, lambda c: c["categories"][0].update(name="red"), "test")
    with pytest.raises(DataError, match="has categories that the train part does not have: 'red'"):
        open_source(tmp_path, "test", labelled="boxes")

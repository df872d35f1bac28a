"""Images that are not square: settings, crops and batches."""

import numpy as np
import pytest
from PIL import Image

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import load_arrays, pretrain_dataset
from eesmm_keras.data.sources import open_source
from eesmm_keras.data.views import CentralView, RandomView
from eesmm_keras.errors import UserError
from eesmm_keras.training.settings import as_dict, resolve

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8))


def boxes_of(size, count=300, **options):
    """`(width, height)` of the boxes that random crops are made of."""
    view = RandomView(size, flip=False, **options)
    boxes = [view.place((160, 90), np.random.default_rng(seed)).box for seed in range(count)]
    return np.array([(right - left, bottom - top) for left, top, right, bottom in boxes])


def test_one_number_and_two_equal_ones_are_the_same():
    for make in (RandomView, CentralView):
        one, two = make(24), make([24, 24])
        assert one.min_side == two.min_side
        pictures = [view(NOISE, np.random.default_rng(5)) for view in (one, two)]
        np.testing.assert_array_equal(*pictures)


def test_boxes_have_the_form_of_the_output_within_the_ratio():
    sides = boxes_of((20, 40), scale=(0.1, 0.3), ratio=(0.5, 2.0))
    stretch = sides[:, 0] / sides[:, 1] / 2
    assert 0.45 < stretch.min() < 0.6
    assert 1.6 < stretch.max() < 2.2
    fixed = boxes_of((20, 40), 20, scale=(0.1, 0.3), ratio=(1.0, 1.0))
    np.testing.assert_allclose(fixed[:, 0] / fixed[:, 1], 2, atol=0.06)


def test_no_box_of_the_smallest_picture_that_is_decoded_is_smaller_than_the_crop(monkeypatch):
    view = RandomView((30, 60), scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3))
    side = view.min_side
    for form in (3 / 4, 1, 4 / 3):  # of the smallest box, in a picture of side x side
        area = 0.2 * side**2
        assert np.sqrt(area * form * 2) >= 60
        assert np.sqrt(area / (form * 2)) >= 30


def test_the_centre_fills_one_side_and_keeps_the_form():
    # 160 x 90 covers 60 x 60 / 0.875 = 68.6 x 68.6 by its height; 2:1 fills the width.
    wide = CentralView((30, 60), crop_fraction=1.0)(NOISE)
    expected = np.asarray(NOISE.resize((60, 30), Image.Resampling.BICUBIC, box=(0, 5, 160, 85)))
    np.testing.assert_array_equal(wide, expected)
    tall = CentralView((60, 30), crop_fraction=1.0)(NOISE)
    box = (57.5, 0, 102.5, 90)
    np.testing.assert_array_equal(
        tall, np.asarray(NOISE.resize((30, 60), Image.Resampling.BICUBIC, box=box))
    )


def test_batches_have_the_size_asked_for():
    source = open_source("digits")
    (batch,) = pretrain_dataset(source, (8, 16), 4, 1)
    assert batch.shape == (4, 8, 16, 3)
    assert load_arrays(source, (8, 16), limit=3)[0].shape == (3, 8, 16, 3)


@pytest.mark.parametrize("size", [(8,), (8, 16, 24), (8, 0), 0, 5000, "8", 8.5, True])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(DataError, match="expected N or H,W"):
        RandomView(size)


@pytest.mark.parametrize(
    ("value", "kept"), [(64, 64), ([64, 96], [64, 96]), ([64, 64], 64), ((32, 16.0), [32, 16])]
)
def test_a_setting_is_kept_in_its_shortest_form(value, kept):
    settings = resolve("pretrain", options={"image_size": value})
    assert as_dict(settings)["image_size"] == kept


def test_a_setting_that_is_no_size_is_told_in_one_line():
    with pytest.raises(UserError, match=r"image_size, tile\): expected N or H,W .*got \[64, 'x'\]"):
        resolve("pretrain", options={"image_size": [64, "x"]})

"""Contrastive masked image modelling: its crops, its contrast, and what of the batch the loss takes."""

import keras
import numpy as np
import pytest
from keras import ops

from conftest import random_images, tiny_backbone, to_numpy
from eesmm_keras.methods.contrastive import ContrastiveMIM
from eesmm_keras.ops import losses
from eesmm_keras.ops.colors import colors, random_colors
from eesmm_keras.ops.crops import crops, random_crops


def cropped(images, top, left, height, width, mirrored=False):
    """The same part of every image."""
    whole = np.ones(len(images), "float32")
    places = [whole * number for number in (top, left, height, width)]
    return to_numpy(crops(images, *places, np.full(len(images), mirrored)))


def test_the_whole_image_is_itself_and_mirrored():
    images = random_images(2)[:, :, :24].astype("float32")
    np.testing.assert_allclose(cropped(images, 0, 0, 1, 1), images, atol=1e-3)
    np.testing.assert_allclose(cropped(images, 0, 0, 1, 1, True), images[:, :, ::-1], atol=1e-3)


def test_a_crop_is_pillows_bilinear_crop():
    """Inside the image, where Pillow does not look beyond the crop's border as we do."""
    from PIL import Image

    picture = random_images(1)[0]
    found = cropped(picture[None].astype("float32"), 0.25, 0.125, 0.5, 0.75)[0]
    box = (4, 8, 28, 24)  # left, upper, right, lower in pixels
    for channel in range(3):
        plane = Image.fromarray(picture[:, :, channel].astype("float32"))
        expected = np.asarray(plane.resize((32, 32), Image.Resampling.BILINEAR, box=box))
        np.testing.assert_allclose(found[2:-2, 2:-2, channel], expected[2:-2, 2:-2], atol=1e-2)


def test_random_crops_differ_are_inside_and_cover_what_they_should():
    ramp = np.broadcast_to(np.linspace(0, 31, 32, dtype="float32")[None, :, None, None],
                           (64, 32, 32, 3))  # fmt: skip
    found = to_numpy(random_crops(ramp, keras.random.SeedGenerator(3), 0.3))
    heights = found[:, -1, 0, 0] - found[:, 0, 0, 0]
    assert found.min() >= 0
    assert found.max() <= 31
    # The side of 30 % of the area, narrowed by the widest ratio, less a pixel.
    assert heights.min() > 31 * (0.3 * 3 / 4) ** 0.5 - 2
    assert heights.std() > 1
    same = to_numpy(random_crops(ramp, keras.random.SeedGenerator(3), 0.3))
    np.testing.assert_array_equal(found, same)


def recoloured(images, brightness=1.0, contrast=1.0, saturation=1.0, angle=0.0):
    """The same change for every image."""
    whole = np.ones(len(images), "float32")
    return to_numpy(colors(images, *(whole * n for n in (brightness, contrast, saturation, angle))))


def test_each_change_of_colours_is_its_formula():
    images = random_images(2).astype("float32")
    grey, middle = images.mean(-1, keepdims=True), images.mean((1, 2, 3), keepdims=True)
    for changed, expected in (
        ({}, images),
        ({"brightness": 1.3}, 1.3 * images),
        ({"contrast": 0.6}, 0.6 * (images - middle) + middle),
        ({"saturation": 0.5}, 0.5 * (images - grey) + grey),
        ({"saturation": 0.0, "angle": 1.0}, np.broadcast_to(grey, images.shape)),
        # A third of the circle: red becomes green, green blue, blue red.
        ({"angle": 2 * np.pi / 3}, images[..., [2, 0, 1]]),
        ({"brightness": 1.3, "contrast": 0.6}, 1.3 * (0.6 * (images - middle) + middle)),
    ):
        np.testing.assert_allclose(recoloured(images, **changed), expected, atol=1e-2)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_random_colours_differ_between_images_and_keep_greys_grey(channels):
    images = np.full((64, 4, 4, channels), 100.0, "float32")
    found = to_numpy(random_colors(images, keras.random.SeedGenerator(3), 0.4))
    np.testing.assert_allclose(found, np.broadcast_to(found[..., :1], found.shape), rtol=1e-4)
    factors = found[:, 0, 0, 0] / 100
    assert 0.6 <= factors.min() < 0.65
    assert 1.35 < factors.max() <= 1.4


def test_one_image_in_five_loses_its_colours():
    images = np.broadcast_to(random_images(1).astype("float32"), (500, 32, 32, 3))
    found = to_numpy(random_colors(images, keras.random.SeedGenerator(3), 0.4))
    grey = found.std(axis=-1).max(axis=(1, 2)) < 1e-2
    assert 0.14 < grey.mean() < 0.26


def test_colours_change_in_training_alone():
    images = random_images(4)
    runs = {}
    for strength in (0.0, 0.4):
        model = ContrastiveMIM(
            tiny_backbone(), mask_ratio=0.5, color_strength=strength, decoder_dim=16,
            decoder_num_heads=2, smallest_crop=1, mirror=False, seed=0,
        )  # fmt: skip
        for training in (False, True):
            outputs = model(images, training=training)
            runs[strength, training] = to_numpy(outputs["view_0"]["units"])
    np.testing.assert_array_equal(runs[0.0, False], runs[0.4, False])
    assert np.abs(runs[0.0, True] - runs[0.4, True]).max() > 0.1


def test_contrast_is_the_closed_form():
    """Of the whole batch, and of each half of it among all."""
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(6, 8)).astype("float32") for _ in range(2))
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    second /= np.linalg.norm(second, axis=-1, keepdims=True)
    views, terms = np.concatenate([first, second]), []
    for i in range(12):
        alike = np.exp(views @ views[i] / 0.2)
        others = alike.sum() - alike[i]
        terms.append(-np.log(alike[(i + 6) % 12] / others))
    found = float(losses.contrast(first, second, 0.2))
    assert found == pytest.approx(np.mean(terms), rel=1e-4)
    for rows in (slice(0, 3), slice(3, 6)):
        half = losses.contrast(first[rows], second[rows], 0.2, (first, second), rows.start)
        expected = np.mean([terms[rows], terms[6:][rows]])
        assert float(half) == pytest.approx(expected, rel=1e-4)


@pytest.fixture(scope="module")
def model():
    return ContrastiveMIM(
        tiny_backbone(),
        decoder_dim=16,
        decoder_num_heads=2,
        mask_bank_size=4,
        projector_dim=8,
        seed=1,
    )


def test_both_terms_add_up_and_two_crops_are_two_views(model):
    outputs = model(random_images(4), training=True)
    assert sorted(outputs) == ["view_0", "view_1"]
    first, second = (to_numpy(outputs[f"view_{k}"]["units"]) for k in range(2))
    assert abs(first - second).max() > 0.1
    masks = [to_numpy(outputs[f"view_{k}"]["mask"].hidden)[0] for k in range(2)]
    # A quarter is visible, and the two quarters do not overlap.
    assert (masks[0] == 0).sum() == 16
    assert not ((masks[0] == 0) & (masks[1] == 0)).any()
    total, terms = model.loss_terms(outputs)
    parts = to_numpy(terms["loss_pixels"]) + to_numpy(terms["loss_contrast"])
    assert float(to_numpy(total)) == pytest.approx(float(parts), rel=1e-6)
    lengths = np.linalg.norm(to_numpy(outputs["view_0"]["compared"]), axis=-1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_pixels_that_are_seen_do_not_count(model):
    """With predictions held fixed, only hidden target pixels change the error on pixels."""
    images, hidden = random_images(4), model.sample_hidden(0)
    outputs = model(images, hidden=hidden)
    before = float(to_numpy(model.loss_terms(outputs)[1]["loss_pixels"]))
    for mark, same in ((0, True), (1, False)):
        noise = np.random.default_rng(1).integers(0, 256, images.shape).astype("uint8")
        views = {}
        for key, mask in zip(("view_0", "view_1"), hidden.reshape(2, 8, 8), strict=True):
            where = np.kron(mask == mark, np.ones((4, 4))).astype(bool)
            changed = np.where(where[None, :, :, None], noise, images)
            units = model(changed, hidden=hidden)[key]["units"]
            views[key] = {**outputs[key], "units": units}
        after = float(to_numpy(model.loss_terms(views)[1]["loss_pixels"]))
        assert (after == pytest.approx(before, rel=1e-5)) is same


def test_views_of_one_image_come_together():
    """Trained on few images, an image's crops are told from those of others."""
    model = ContrastiveMIM(
        tiny_backbone(depths=(1, 1)), mask_ratio=0.5, smallest_crop=1.0, decoder_dim=16,
        decoder_num_heads=2, mask_bank_size=4, projector_dim=16, seed=1,
    )  # fmt: skip
    images = np.stack([np.full((32, 32, 3), value, "uint8") for value in (0, 80, 160, 240)])
    model.compile(keras.optimizers.AdamW(3e-3))
    history = model.fit(images, batch_size=4, epochs=30, verbose=0).history["loss_contrast"]
    assert history[-1] < 0.5 * history[0]


def test_a_weight_of_zero_turns_the_contrast_off(model):
    outputs = model(random_images(4), training=True)
    with_it = float(to_numpy(model.loss_terms(outputs)[0]))
    model.contrast_weight = 0
    try:
        total, terms = model.loss_terms(outputs)
    finally:
        model.contrast_weight = 1.0
    assert float(to_numpy(total)) == pytest.approx(float(to_numpy(terms["loss_pixels"])))
    assert with_it > float(to_numpy(total))


def test_macs_count_two_views_and_the_crops(model):
    single = ContrastiveMIM(
        tiny_backbone(), mask_ratio=0.875, decoder_dim=16, decoder_num_heads=2, mask_bank_size=4,
        projector_dim=8, seed=1,
    )  # fmt: skip
    assert model.rule == (1, 2, 2)
    assert model.macs() > 2 * 2 * 32**3 * 3
    assert single.macs() < model.macs()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0}, "temperature"),
        ({"smallest_crop": 0}, "smallest_crop"),
        ({"contrast_weight": -1}, "contrast_weight"),
        ({"projector_dim": 0}, "projector_dim"),
    ],
)
def test_wrong_arguments(arguments, message, shared_backbone):
    with pytest.raises(ValueError, match=message):
        ContrastiveMIM(shared_backbone, **arguments)


def test_one_image_has_nothing_to_be_told_from(model):
    with pytest.raises(ValueError, match="at least 2 images"):
        model.fit(random_images(1))


def test_numbers_of_ops_stay_finite_in_half_precision():
    vectors = ops.normalize(ops.ones((4, 8)), axis=-1)
    assert np.isfinite(float(losses.contrast(vectors, vectors, 0.001)))

"""Measured pixel statistics, and the file that keeps them."""

import numpy as np
import pytest
from PIL import Image

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.reading import Reading
from eesmm_keras.data.sources import open_source
from eesmm_keras.data.statistics import Statistics, measure
from eesmm_keras.training.inputs import Inputs, asked_reading
from eesmm_keras.training.settings import resolve


@pytest.fixture
def scenes(tmp_path):
    """Eight pictures of two 16-bit channels; the second one has a dead pixel."""
    rng = np.random.default_rng(0)
    images = rng.normal((1000, 3000), (100, 500), (8, 30, 40, 2)).clip(0).astype(np.uint16)
    images[3, 4, 5, 1] = 60000
    for k, image in enumerate(images):
        np.save(tmp_path / f"{k}.npy", image)
    return tmp_path, images


def test_what_is_measured_is_what_is_there(scenes):
    folder, images = scenes
    found = measure(open_source(folder))
    assert found.dtype == "uint16"
    assert found.images == 8
    np.testing.assert_array_equal(found.minimum, images.min(axis=(0, 1, 2)))
    np.testing.assert_array_equal(found.high, images.max(axis=(0, 1, 2)))
    scaled = (images - np.array(found.low)) / np.subtract(found.high, found.low)
    np.testing.assert_allclose(found.mean, scaled.mean(axis=(0, 1, 2)), rtol=0.02)
    np.testing.assert_allclose(found.std, scaled.std(axis=(0, 1, 2)), rtol=0.05)
    tight = measure(open_source(folder), ends="percentiles")
    assert tight.high[1] < 6000
    np.testing.assert_allclose(
        tight.high, np.percentile(images.reshape(-1, 2), 99.9, axis=0), rtol=0.03
    )


def test_eight_bits_stay_as_they_are(tmp_path):
    Image.new("RGB", (9, 9), (0, 51, 102)).save(tmp_path / "a.png")
    found = measure(open_source(tmp_path))
    assert (found.low, found.high) == ((0.0,) * 3, (255.0,) * 3)
    np.testing.assert_allclose(found.mean, [0, 0.2, 0.4])
    assert min(found.std) > 0
    np.save(tmp_path / "b.npy", np.zeros((4, 4, 3), np.uint8))
    native = measure(open_source(tmp_path, reading=Reading(pixels="native")))
    assert native.high == (255.0,) * 3


def test_a_file_gives_back_what_was_written(scenes, tmp_path):
    found = measure(open_source(scenes[0]))
    found.write(tmp_path / "stats.yaml")
    assert Statistics.read(tmp_path / "stats.yaml") == found


@pytest.mark.parametrize(
    "text", ["", "- 1", "mean: [0.5]", "{mean: [0.5], std: [0]}", "{mean: [.nan], std: [1]}",
             "{mean: [0.5], std: [1], low: [3], high: [2]}", "{mean: 1, std: 2}", "a: [",
             "{mean: [0.5], std: [1, 2]}", "{mean: [x], std: [1]}"],
)  # fmt: skip
def test_what_is_no_statistics_is_told(text, tmp_path):
    (tmp_path / "stats.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"stats.yaml") as caught:
        Statistics.read(tmp_path / "stats.yaml")
    assert "\n" not in str(caught.value)


def inputs(folder, begun_with=None, start=None, **options):
    settings = resolve("pretrain", options={"data": str(folder), **options})
    source = open_source(folder, reading=asked_reading(settings, start))
    return Inputs(settings, source, begun_with, start), source


def test_a_run_measures_native_pixels_once_and_goes_on_with_what_it_found(scenes):
    folder, _ = scenes
    first, source = inputs(folder)
    assert source.reading.high == first.statistics.high
    np.save(folder / "9.npy", np.full((9, 9, 2), 65535, np.uint16))
    again, _ = inputs(folder, begun_with=first.derived())
    assert again.statistics == first.statistics
    assert again.arguments() == first.arguments()


def test_usual_images_are_not_measured_unless_asked_for(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    plain, _ = inputs(tmp_path)
    assert (plain.derived(), plain.arguments(), plain.in_words()) == ({}, {}, [])
    assert set(inputs(tmp_path, stats="auto")[0].arguments()) == {"mean", "std"}
    grey, _ = inputs(tmp_path, channels=1)
    assert grey.arguments()["reading"] == {"channels": 1}
    assert len(grey.arguments()["mean"]) == 1
    with pytest.raises(ValueError, match="imagenet is of 3 channels"):
        inputs(tmp_path, channels=1, stats="imagenet")


def test_statistics_of_other_images_are_refused(scenes, tmp_path):
    folder, _ = scenes
    measure(open_source(folder)).write(tmp_path / "stats.yaml")
    stats = str(tmp_path / "stats.yaml")
    with pytest.raises(ValueError, match="of 2 channels, and the images have 1"):
        inputs(folder, bands=[2], stats=stats)
    (tmp_path / "png").mkdir()
    Image.new("LA", (9, 9)).save(tmp_path / "png" / "a.png")
    with pytest.raises(ValueError, match="add --pixels native"):
        inputs(tmp_path / "png", channels=2, stats=stats)


def test_weights_say_what_the_settings_do_not(scenes):
    folder, _ = scenes
    first, _ = inputs(folder, tile=8)
    start = {"image_shape": [8, 8, 2], **first.arguments()}
    later, source = inputs(folder, start=start)
    assert source.reading == first.reading.replaced(tile=None)
    assert later.statistics is None
    assert later.arguments()["mean"] == first.arguments()["mean"]
    other, source = inputs(folder, start=start, bands=[1])
    assert source.reading.bands == (1,)
    assert other.statistics is not None


def test_no_image_that_can_be_measured_is_an_error(tmp_path):
    np.save(tmp_path / "a.npy", np.full((4, 4), np.nan, np.float32))
    with pytest.raises(DataError, match="not finite"):
        inputs(tmp_path)


def test_bad_images_are_left_out_of_the_measure(scenes):
    folder, _ = scenes
    np.save(folder / "5.npy", np.full((4, 4, 3), 65535, np.uint16))
    assert measure(open_source(folder)).images == 7

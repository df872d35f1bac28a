import io
import os
import warnings

import numpy as np
import pytest
from PIL import Image

from eesmm_keras.data.decoding import check_file, read_rgb
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.views import CentralView, RandomView


def picture(height=24, width=40, seed=0):
    """A smooth RGB picture, so that lossy formats stay close to it."""
    y, x = np.mgrid[:height, :width]
    red, green = 255 * x / (width - 1), 255 * y / (height - 1)
    return np.stack([red, green, np.full_like(red, 60 + seed)], -1).astype(np.uint8)


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("form", "tolerance"), [("JPEG", 16), ("PNG", 0), ("BMP", 0), ("WEBP", 16), ("GIF", 40)]
)
def test_every_format_is_read_from_file_and_bytes(form, tolerance, tmp_path):
    data = encoded(Image.fromarray(picture()), form)
    path = tmp_path / "image"
    path.write_bytes(data)
    from_bytes, from_file = read_rgb(data), read_rgb(path)
    assert from_bytes.mode == from_file.mode == "RGB"
    np.testing.assert_array_equal(from_bytes, from_file)
    difference = np.abs(np.asarray(from_file).astype(int) - picture())
    assert difference.mean() <= tolerance / 4
    assert difference.max() <= tolerance


def test_a_gif_gives_its_first_frame():
    red, blue = (Image.new("RGB", (4, 4), color) for color in ("red", "blue"))
    data = encoded(red, "GIF", save_all=True, append_images=[blue])
    assert read_rgb(data).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "RGB"])
def test_every_png_mode_becomes_rgb(mode):
    white = Image.new("RGB", (5, 3), "white").convert(mode)
    result = read_rgb(encoded(white, "PNG"))
    assert (result.mode, result.size) == ("RGB", (5, 3))
    assert np.asarray(result).min() == 255


def test_cmyk_becomes_rgb():
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    np.testing.assert_allclose(read_rgb(data).getpixel((4, 4)), (255, 0, 0), atol=4)


def test_sixteen_bit_grey_is_scaled():
    values = np.array([[0, 257, 257 * 100, 65535]], np.uint16)
    result = np.asarray(read_rgb(encoded(Image.fromarray(values), "PNG")))
    np.testing.assert_array_equal(result[0], np.repeat([[0], [1], [100], [255]], 3, axis=1))


def test_transparent_pixels_are_white_whatever_lies_under_them():
    half = Image.fromarray(np.array([[[255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8))
    np.testing.assert_array_equal(
        np.asarray(read_rgb(encoded(half, "PNG")))[0], [[255] * 3, [127] * 3]
    )
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    result = read_rgb(encoded(palette, "PNG", transparency=0))
    np.testing.assert_array_equal(np.asarray(result)[0], [[255, 255, 255], [0, 0, 255]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    from PIL import ImageOps

    image = Image.fromarray(picture())
    exif = image.getexif()
    exif[0x0112] = orientation
    data = encoded(image, "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(read_rgb(data), expected)


def test_a_damaged_exif_block_loses_no_picture():
    warnings.simplefilter("ignore")  # Pillow tells of the damage
    data = encoded(Image.fromarray(picture()), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    assert read_rgb(data).size == (40, 24)


def test_large_jpegs_are_reduced_but_not_below_the_side_asked_for():
    data = encoded(Image.fromarray(picture(400, 800)), "JPEG")
    assert read_rgb(data, min_side=90).size == (200, 100)
    assert read_rgb(data, min_side=201).size == (800, 400)
    assert read_rgb(encoded(Image.fromarray(picture(400, 800)), "PNG"), 90).size == (800, 400)


def test_a_decompression_bomb_is_refused(monkeypatch, tmp_path):
    data = encoded(Image.fromarray(picture()), "PNG")
    # Up to twice the limit Pillow itself only warns.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 24 * 40 - 1)
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    path = tmp_path / "image.png"
    path.write_bytes(data)
    for read in (read_rgb, check_file):
        with pytest.raises(DataError, match=r"40 x 24 pixels.*decompression bombs"):
            read(path)
        assert read(path, max_pixels=24 * 40)
        with pytest.raises(DataError, match=r"more than the 24"):
            read(path, max_pixels=24)


@pytest.mark.parametrize("data", [b"", b"no image at all", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_image_is_refused(data, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(data)
    for read, what in ((read_rgb, data), (read_rgb, path), (check_file, path)):
        with pytest.raises(DataError, match=r"empty|cannot|not a readable"):
            read(what)


@pytest.mark.parametrize("read", [read_rgb, check_file])
def test_what_is_missing_or_no_regular_file_is_refused(read, tmp_path):
    with pytest.raises(DataError, match=r"not there"):
        read(tmp_path / "nothing.png")
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path, tmp_path / "pipe.png"):  # opening a pipe would wait for ever
        with pytest.raises(DataError, match=r"no regular file"):
            read(path)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "WEBP", "GIF"])
def test_a_truncated_file_is_found_whatever_follows_a_whole_one(form, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data, path = encoded(Image.fromarray(noise), form), tmp_path / "image"
    for tail in (b"", b"\0" * 9, b"more"):
        path.write_bytes(data + tail)
        header = check_file(path)
        assert (header.width, header.height) == (64, 64)
    for lost in (1, 30, 500, len(data) // 2, len(data) - 40):
        path.write_bytes(data[:-lost])
        try:
            read_rgb(path)
        except DataError:
            with pytest.raises(DataError, match=r"cannot be decoded|not a readable"):
                check_file(path)
    with pytest.raises(DataError, match=r"cannot be decoded|not a readable"):
        check_file(path)


def test_random_crop_is_a_function_of_its_generator():
    image = Image.fromarray(picture())
    crops = [RandomView(16, flip=False)(image, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert crops[0].shape == (16, 16, 3)
    assert crops[0].dtype == np.uint8
    np.testing.assert_array_equal(crops[0], crops[1])
    assert (crops[0] != crops[2]).any()


def test_random_boxes_keep_to_scale_and_ratio():
    from eesmm_keras.data.crops import random_box

    rng = np.random.default_rng(0)
    for _ in range(300):
        left, top, right, bottom = random_box((300, 200), 16, rng, (0.2, 0.5), (0.75, 4 / 3))
        width, height = right - left, bottom - top
        assert 0 <= left < right <= 300
        assert 0 <= top < bottom <= 200
        assert 0.19 < width * height / 60000 < 0.51
        assert 0.74 < width / height < 1.35


def test_a_strip_falls_back_to_the_largest_central_box():
    from eesmm_keras.data.crops import random_box

    rng = np.random.default_rng(0)
    assert random_box((600, 30), 16, rng, (0.5, 1), (3 / 4, 4 / 3)) == (280, 0, 320, 30)
    assert random_box((30, 600), 16, rng, (0.5, 1), (3 / 4, 4 / 3)) == (0, 280, 30, 320)


def test_one_pixel_is_enlarged():
    dot = Image.new("RGB", (1, 1), (1, 2, 3))
    for crop in (RandomView(8, flip=False)(dot, np.random.default_rng(0)), CentralView(8)(dot)):
        np.testing.assert_array_equal(crop, np.tile(np.uint8([1, 2, 3]), (8, 8, 1)))


def test_center_crop_takes_the_middle():
    image = Image.fromarray(picture(64, 128))
    resized = np.asarray(image.resize((64, 32), Image.Resampling.BICUBIC))
    expected = resized[2:30, 18:46]  # 28 = 0.875 * 32 pixels
    np.testing.assert_allclose(CentralView(28)(image).astype(int), expected, atol=1)


def test_center_crop_wastes_no_pixels_of_small_pictures():
    image = picture(32, 32)
    np.testing.assert_array_equal(CentralView(32)(Image.fromarray(image)), image)

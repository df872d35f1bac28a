"""What reads faster reads the same: pixels are those of Pillow, bit for bit."""

import io
import platform
import sys

import numpy as np
import pytest
from PIL import Image

from eesmm_keras.data import bilinear, jpeg, views
from eesmm_keras.data.decoding import read_rgb
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import pretrain_dataset
from eesmm_keras.data.preparing import prepare
from eesmm_keras.data.sources import open_source
from eesmm_keras.data.windows import LoadedPicture, PixelPicture, PlainJpeg, StoredJpeg


@pytest.fixture(scope="module")
def show_box():
    pytest.importorskip("numba")
    if platform.machine() not in bilinear.MACHINES:
        pytest.skip("resampling is left to Pillow on other processors than x86-64")
    found = bilinear.bilinear_box()
    assert found is not None, "a pixel is not Pillow's, or Numba fails"
    return found


def picture(seed, width, height):
    """Colours that change slowly, with noise on them."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), int)
    noisy = smooth + rng.integers(-30, 31, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encoded(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def boxes(rng, width, height, count):
    """Whole and fractional boxes of all sizes, those of one pixel and of the whole picture too."""
    yield from ((0, 0, width, height), (0, 0, 1, 1), (width - 1, height - 1, width, height))
    half = np.array([0, 0, 0.5, 0.5])
    for k in range(count):
        (left, right), (top, bottom) = np.sort(rng.uniform(0, 1, (2, 2)) * [[width], [height]], 1)
        box = np.array([left, top, right + 0.5, bottom + 0.5]).clip(0, [width, height] * 2)
        yield tuple(np.rint(box + half).astype(int) if k % 2 else box.astype(np.float32))


@pytest.mark.parametrize("size", [(7, 7), (33, 20), (64, 64)])
@pytest.mark.parametrize("sides", [(50, 41), (9, 130), (30, 41), (300, 200)])
def test_a_box_is_resampled_to_pillows_pixels(show_box, sides, size):
    image, out = picture(0, *sides), np.empty((*size, 3), np.uint8)
    for box in boxes(np.random.default_rng(1), *sides, 40):
        box = tuple(np.array(box).clip(0, sides * 2).tolist())
        wanted = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR, box=box))
        for one in (LoadedPicture(image), PixelPicture(np.array(image))):
            for mirrored in (False, True):
                show_box(one, box, mirrored, out)
                np.testing.assert_array_equal(out, wanted[:, ::-1] if mirrored else wanted)


def test_black_and_white_stay_so(show_box):
    out = np.empty((30, 31, 3), np.uint8)
    for value in (0, 255):
        image = Image.new("RGB", (200, 300), (value,) * 3)
        for box in ((0, 0, 200, 300), (3.3, 4.4, 190.1, 222.2), (10, 10, 15, 15)):
            show_box(LoadedPicture(image), box, False, out)
            assert (out == value).all()


def test_a_view_shrinks_whatever_a_box_is(show_box):
    image, view = picture(0, 900, 40), views.RandomView(8)
    place = views.Place((0, 0, 900, 40), True)
    assert not bilinear.can_show(LoadedPicture(image), place.box, view.size)
    wanted = np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR, box=place.box))[:, ::-1]
    for one in (image, PixelPicture(np.array(image))):
        np.testing.assert_array_equal(view.show(one, place), wanted)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_window_of_a_jpeg_is_that_of_the_whole(subsampling):
    assert jpeg.decoders_agree()
    rng, size = np.random.default_rng(subsampling), (77, 50)
    data = encoded(picture(1, *size), quality=70, subsampling=subsampling)
    whole = np.asarray(read_rgb(data))
    for _ in range(60):
        left, top = rng.integers(0, [76, 49]).tolist()
        right, bottom = rng.integers([left + 1, top + 1], [78, 51]).tolist()
        pixels, x, y = StoredJpeg(data, size).window(left, top, right, bottom)
        found = pixels[top - y : bottom - y, left - x : right - x]
        np.testing.assert_array_equal(found, whole[top:bottom, left:right])


def damaged(data, rng):
    """The bytes of a file, changed in one way of several; complete by its last bytes."""
    data, at = bytearray(data), int(rng.integers(2, len(data) - 2))
    kind = rng.integers(4)
    if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del data[at : at + int(rng.integers(1, 40))]
    elif kind == 2:
        data[at:at] = rng.integers(0, 256, 12, np.uint8).tobytes()
    else:
        del data[at:]
    return bytes(data) + b"\xff\xd9"


def test_damage_is_found_in_the_same_files():
    rng = np.random.default_rng(0)
    files = [
        encoded(picture(2, 60, 45), quality=80),
        encoded(picture(3, 60, 45), progressive=True),
        encoded(picture(5, 60, 45), subsampling=0, restart_marker_blocks=3),
    ]
    shown = 0
    for k in range(400):
        data = damaged(files[k % 3], rng)
        plain = jpeg.plain_jpeg(data)
        if plain is None or plain[1] != (60, 45):
            continue
        left, top = rng.integers(0, [50, 40]).tolist()
        try:
            pixels, x, y = PlainJpeg(*plain).window(left, top, 58, 44)
        except DataError:  # then Pillow decides
            continue
        shown += 1
        whole = np.asarray(read_rgb(data))
        np.testing.assert_array_equal(
            pixels[top - y : 44 - y, left - x : 58 - x], whole[top:44, left:58]
        )
    assert 100 < shown < 300


def test_only_plain_jpegs_are_decoded_by_tensorflow(tmp_path):
    image, exif = picture(0, 64, 48), Image.Exif()
    exif[0x0112] = 6
    good = encoded(image)
    assert jpeg.plain_jpeg(good) == (good, (64, 48))
    (tmp_path / "a.jpg").write_bytes(good)
    assert jpeg.plain_jpeg(tmp_path / "a.jpg", min_side=25) == (good, (64, 48))
    others = [encoded(image, exif=exif), encoded(image, progressive=True), good[:-2], b"",
              encoded(image.convert("L")), encoded(image.convert("CMYK"))]  # fmt: skip
    for other in others:
        assert jpeg.plain_jpeg(other) is None
    assert jpeg.plain_jpeg(good, min_side=24) is None  # Pillow halves it
    assert jpeg.plain_jpeg(good, max_pixels=3000) is None
    assert jpeg.plain_jpeg(tmp_path / "none.jpg") is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of many kinds, one of them damaged after the data were opened; see the test."""
    root, exif = tmp_path_factory.mktemp("images") / "data", Image.Exif()
    exif[0x0112] = 8
    root.mkdir()
    for k, options in enumerate(
        [{}, {"progressive": True}, {"exif": exif}, {"subsampling": 0}, {"quality": 30}, {}]
    ):
        (root / f"{k}.jpg").write_bytes(encoded(picture(k, 130 + k, 90), **options))
    picture(6, 500, 380).save(root / "large.jpg")
    picture(10, 60, 150).save(root / "tall.jpg")
    picture(7, 40, 30).save(root / "small.png")
    picture(8, 80, 90).convert("L").save(root / "grey.jpg")
    picture(9, 80, 90).convert("CMYK").save(root / "print.jpg")
    return root


def batches(place, size):
    source = open_source(place)
    spoilt = place / "5.jpg"
    if spoilt.exists():
        data = spoilt.read_bytes()
        spoilt.write_bytes(data[:400] + data[-2:])  # now that its header has been looked at
    try:
        found = list(pretrain_dataset(source, size, 4, 6, seed=3).as_numpy_iterator())
    finally:
        if spoilt.exists():
            spoilt.write_bytes(data)
    return np.array(found), [(what, why) for what, why in source.bad]


@pytest.mark.parametrize("size", [16, (40, 24)])
@pytest.mark.parametrize("kind", ["folder", "jpeg", "raw"])
def test_batches_are_the_same_bit_for_bit(show_box, folder, tmp_path, monkeypatch, kind, size):
    place = folder
    if kind != "folder":
        place = tmp_path / "shards"
        prepare(folder, place, size=72, raw=kind == "raw", per_shard=4)
    faster, bad = batches(place, size)
    monkeypatch.setattr(views, "bilinear_box", lambda: None)
    by_pillow, same_bad = batches(place, size)
    np.testing.assert_array_equal(faster, by_pillow)
    assert bad == same_bad


def test_without_numba_pillow_does_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "eesmm_keras.data._bilinear", raising=False)
    monkeypatch.setattr(views, "bilinear_box", bilinear.bilinear_box.__wrapped__)
    view = views.RandomView(16)
    assert not view.by_window
    found = view(read_rgb(folder / "0.jpg"), np.random.default_rng(0))
    assert found.shape == (16, 16, 3)
    source = open_source(folder)
    assert isinstance(source.load(0, by_window=view.by_window), Image.Image)


def test_a_window_that_lacks_pixels_is_an_error(show_box):
    class Torn(PixelPicture):
        def window(self, left, top, right, bottom):
            return self._pixels[top + 1 : bottom], 0, top + 1

    with pytest.raises(ValueError, match="lacks pixels"):
        show_box(
            Torn(np.zeros((9, 9, 3), np.uint8)), (0, 0, 9, 9), False, np.empty((4, 4, 3), np.uint8)
        )


def test_a_stored_picture_beyond_the_limit_is_a_bad_image(folder, tmp_path):
    prepare(folder, tmp_path / "shards", size=72)
    source = open_source(tmp_path / "shards", max_image_pixels=3000)
    with pytest.raises(DataError, match="more than the 3000"):
        source.load(0, by_window=True)

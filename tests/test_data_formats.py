"""Image files of any channels, depths and formats: what is read is what was written."""

import io

import numpy as np
import pytest
from PIL import Image

from conftest import hide_package
from eesmm_keras.data.channels import upright
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import load_arrays
from eesmm_keras.data.reader import check_path, read_picture
from eesmm_keras.data.reading import Reading
from eesmm_keras.data.sources import open_source

NATIVE = Reading(pixels="native")
RNG = np.random.default_rng(0)


def values(*shape, dtype=np.uint16):
    if np.dtype(dtype).kind == "f":
        return RNG.normal(size=shape).astype(dtype)
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def png16(array):
    import tensorflow as tf

    return tf.io.encode_png(array).numpy()


def dicom(path, array, **changes):
    pydicom = pytest.importorskip("pydicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.Rows, data.Columns = array.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    for name, value in changes.items():
        setattr(data, name, value)
    data.PixelData = array.astype("<u2").tobytes()
    data.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize("plane", ["contig", "separate"])
def test_tiff(dtype, tile, plane, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    array, path = values(40, 50, 5, dtype=dtype), tmp_path / "a.tif"
    written = array if plane == "contig" else np.moveaxis(array, -1, 0)
    tifffile.imwrite(
        path, written, photometric="minisblack", planarconfig=plane, tile=tile,
        compression="zlib" if tile else None,
    )  # fmt: skip
    header = check_path(path, NATIVE)
    assert (header.width, header.height) == (50, 40)
    assert header.mode == f"{np.dtype(dtype).name} x 5"
    for item in (path, path.read_bytes()):
        np.testing.assert_array_equal(read_picture(item, NATIVE), array.astype(np.float32))


def test_pages_are_channels_where_asked_for(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    pages, path = values(3, 20, 30), tmp_path / "a.tif"
    tifffile.imwrite(path, pages, photometric="minisblack")
    first = read_picture(path, NATIVE)
    np.testing.assert_array_equal(first[..., 0], pages[0])
    every = read_picture(path, NATIVE.replaced(pages="all"))
    np.testing.assert_array_equal(np.moveaxis(every, -1, 0), pages)


def test_a_window_decodes_only_the_tiles_that_it_touches(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    from eesmm_keras.data.files import tiff

    array, path = values(256, 320, 2), tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack", planarconfig="contig", tile=(32, 32))
    decoded, count = tiff._decoded, []
    monkeypatch.setattr(tiff, "_decoded", lambda *args: count.append(1) or decoded(*args))
    tiled = NATIVE.replaced(tile=(40, 24))
    for seed in range(5):
        draw = np.random.default_rng(seed)
        top, left = np.random.default_rng(seed).integers(0, [256 - 40 + 1, 320 - 24 + 1])
        np.testing.assert_array_equal(
            read_picture(path, tiled, draw=draw), array[top : top + 40, left : left + 24]
        )
    assert len(count) <= 5 * 3 * 2  # of 80
    # A picture larger than the limit can be read by windows, and not whole.
    assert read_picture(path, tiled, max_pixels=1000).shape == (40, 24, 2)
    with pytest.raises(DataError, match="320 x 256 pixels"):
        read_picture(path, NATIVE, max_pixels=1000)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 4), (4, 20, 30)])
def test_npy(shape, tmp_path):
    array, path = values(*shape, dtype=np.float32), tmp_path / "a.npy"
    np.save(path, array)
    expected = np.moveaxis(array, 0, -1) if shape[0] == 4 else array.reshape(20, 30, -1)
    for item in (path, path.read_bytes()):
        np.testing.assert_array_equal(read_picture(item, NATIVE), expected)


def test_npy_files_are_never_unpickled(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    for item in (path, path.read_bytes()):
        with pytest.raises(DataError):
            read_picture(item, NATIVE)


def test_dicom_is_rescaled_and_dark_is_low(tmp_path):
    array = values(20, 30) % 4096
    dicom(tmp_path / "a.dcm", array, RescaleSlope=2, RescaleIntercept=-1024)
    found = read_picture(tmp_path / "a.dcm", NATIVE)
    np.testing.assert_array_equal(found[..., 0], array * 2.0 - 1024)
    dicom(tmp_path / "b.dcm", array, PhotometricInterpretation="MONOCHROME1")
    found = read_picture((tmp_path / "b.dcm").read_bytes(), NATIVE)
    np.testing.assert_array_equal(found[..., 0], 4095 - array)
    assert check_path(tmp_path / "b.dcm", NATIVE).mode == "uint16 x 1"


@pytest.mark.parametrize(("suffix", "form"), [(".avif", "AVIF"), (".jp2", "JPEG2000")])
def test_pictures_of_newer_formats_are_rgb(suffix, form, tmp_path):
    y, x = np.mgrid[:32, :48]
    array = np.stack([5 * x, 7 * y, np.full_like(x, 60)], -1).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(array).save(path, form)
    for item in (path, path.read_bytes()):
        found = np.asarray(read_picture(item, Reading())).astype(int)
        assert np.abs(found - array).mean() < 8
    assert check_path(path, Reading()).width == 48


def test_heic(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / "a.heic"
    Image.new("RGB", (64, 48), (200, 100, 50)).save(path)
    found = np.asarray(read_picture(path, Reading())).astype(int)
    assert np.abs(found - [200, 100, 50]).max() < 12


def test_a_library_that_is_missing_is_named_with_its_extra(tmp_path, monkeypatch):
    dicom(tmp_path / "a.dcm", values(8, 8))
    hide_package("pydicom", monkeypatch)
    with pytest.raises(DataError, match=r"needs pydicom: pip install 'eesmm-keras\[dicom\]'"):
        open_source(tmp_path)


def test_sixteen_bits_of_a_png_are_kept_if_asked_for(tmp_path):
    array, path = values(9, 12, 3), tmp_path / "a.png"
    path.write_bytes(png16(array))
    for item in (path, path.read_bytes()):
        np.testing.assert_array_equal(read_picture(item, NATIVE), array)
    path.write_bytes(png16(array[..., :1]))
    np.testing.assert_array_equal(read_picture(path, NATIVE), array[..., :1])
    eight = np.asarray(read_picture(path, Reading()))
    np.testing.assert_array_equal(eight[..., 1], (array[..., 0].astype(int) + 128) // 257)


def test_channels_are_chosen_counted_and_refused(tmp_path):
    array, path = values(9, 12, 4, dtype=np.uint8), tmp_path / "a.png"
    Image.fromarray(array).save(path)

    def read(**options):
        return np.asarray(read_picture(path, Reading(**options)))

    np.testing.assert_array_equal(read(channels=4), array)
    np.testing.assert_array_equal(read(bands=(4, 1)), array[..., [3, 0]])
    assert read(channels=1).shape[:2] == (9, 12)
    with pytest.raises(DataError, match="has 4 channels, and band 5 is asked for"):
        read(bands=(5,))
    with pytest.raises(DataError, match="has 4 channels, and 2 are expected"):
        read(channels=2)
    Image.fromarray(array[..., 0]).save(path)
    assert read().shape == (9, 12, 3)
    np.testing.assert_array_equal(read(channels=1), array[..., 0])


def test_native_values_between_low_and_high_are_pixels(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[[-5.0, 0], [10, 30], [20, 90]]] * 3, np.float32))
    reading = NATIVE.replaced(low=(0, 0), high=(20, 60))
    found = read_picture(tmp_path / "a.npy", reading)
    np.testing.assert_allclose(found[2], [[0, 0], [127.5, 127.5], [255, 255]], rtol=1e-6)
    np.save(tmp_path / "a.npy", np.array([[np.nan, 1, np.inf]], np.float32))
    with pytest.raises(DataError, match="holds 2 values that are not finite"):
        read_picture(tmp_path / "a.npy", NATIVE)


def test_eight_bits_never_come_of_what_they_cannot_hold(tmp_path):
    np.save(tmp_path / "a.npy", values(4, 4, dtype=np.float32))
    with pytest.raises(DataError, match=r"float32 values.*--pixels native"):
        read_picture(tmp_path / "a.npy", Reading(pixels="uint8"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured_in_arrays_and_can_be_ignored(orientation, tmp_path):
    from PIL import ImageOps

    image = Image.fromarray(values(6, 9, 3, dtype=np.uint8))
    exif = image.getexif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    turned = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    data = buffer.getvalue()
    np.testing.assert_array_equal(upright(np.asarray(image), orientation), turned)
    for reading in (Reading(), NATIVE, Reading(channels=1), Reading(bands=(3, 2))):
        found = np.asarray(read_picture(data, reading))
        lying = np.asarray(read_picture(data, reading.replaced(exif=False)))
        assert found.shape[:2] == turned.shape[:2]
        assert lying.shape[:2] == (6, 9)
    np.testing.assert_array_equal(read_picture(data, NATIVE), turned)


def test_where_a_folder_has_usual_files_others_are_left_aside_unless_asked_for(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", values(9, 9, 3, dtype=np.uint8))
    source = open_source(tmp_path)
    assert len(source) == 1
    assert "1 file(s) of other formats were left aside" in source.note
    assert (source.channels, source.dtype) == (3, np.uint8)
    every = open_source(tmp_path, reading=Reading(pixels="uint8"))
    assert load_arrays(every, 8)[0].shape == (2, 8, 8, 3)
    (tmp_path / "a.png").unlink()
    alone = open_source(tmp_path)
    assert (alone.channels, alone.dtype) == (3, np.float32)


def test_pictures_that_do_not_fit_are_bad_images(tmp_path):
    for k, channels in enumerate((2, 2, 3)):
        np.save(tmp_path / f"{k}.npy", values(9, 9, channels))
    source = open_source(tmp_path)
    assert source.reading.channels == 2
    images, _ = load_arrays(source, 8)
    assert images.shape == (2, 8, 8, 2)
    assert source.bad[0][1].startswith("has 3 channels, and 2 are expected")
    for reading, message in (
        (NATIVE.replaced(bands=(7,)), "band 7 is asked for"),
        (NATIVE.replaced(tile=10, channels=2), "less than the tile of 10 x 10"),
    ):
        with pytest.raises(DataError, match=f"None of the 3 images.*{message}"):
            load_arrays(open_source(tmp_path, reading=reading), 8)


@pytest.mark.parametrize("name", ["a.tif", "a.npy", "a.dcm"])
def test_what_is_cut_short_is_found_at_once(name, tmp_path):
    array, path = values(64, 64), tmp_path / name
    if name.endswith("tif"):
        pytest.importorskip("tifffile").imwrite(path, array)
    elif name.endswith("npy"):
        np.save(path, array)
    else:
        dicom(path, array)
    data = path.read_bytes()
    for kept in (0, 3, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:kept])
        for item in (path, data[:kept]):
            with pytest.raises(DataError):
                read_picture(item, NATIVE)
        with pytest.raises(DataError, match="None of the 1 images"):
            load_arrays(open_source(tmp_path), 8)

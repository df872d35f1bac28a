"""Large images tile by tile: every pixel is asked about, packed tiles find their image again."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from conftest import TINY_SWIN
from eesmm_keras.answers import predicting
from eesmm_keras.answers.predicting import predict
from eesmm_keras.backbones import from_preset
from eesmm_keras.cli import main as cli
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.image_source import ImageSource
from eesmm_keras.data.reading import Reading
from eesmm_keras.data.sliding import Sliding
from eesmm_keras.errors import UserError
from eesmm_keras.tasks.image_classifier import ImageClassifier
from eesmm_keras.training.evaluating import evaluate

SIZES = [(32, 48), (16, 16), (20, 40), (80, 33)]
CLASSES = ("blue", "green", "red")


def pictures(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*size, 3), "uint8") for size in SIZES]


def source_of(items, tile=16):
    return ImageSource("here", items, reading=Reading(tile=tile))


def means(images):
    assert len(images) == 5  # always as many, as a compiled model wants it
    return images.astype("float64").mean(axis=(1, 2))


def tiles_by_hand(picture, side, step):
    """Tiles of a picture, the last ones of a row or column at the border."""
    starts = [sorted({*range(0, n - side, step), n - side}) for n in picture.shape[:2]]
    return [picture[y : y + side, x : x + side] for y in starts[0] for x in starts[1]]


@pytest.mark.parametrize(("overlap", "step"), [(0.0, 16), (0.5, 8), (0.99, 1)])
def test_answers_are_means_over_tiles_that_cover_the_image(overlap, step):
    found = Sliding(overlap, 5).answers(means, source_of(pictures()), 16)
    for number, (picture, (i, answer, reason)) in enumerate(zip(pictures(), found, strict=True)):
        wanted = np.mean([tile.mean((0, 1)) for tile in tiles_by_hand(picture, 16, step)], axis=0)
        assert (i, reason, answer.shape) == (number, None, (1, 3))
        np.testing.assert_allclose(answer[0], wanted, rtol=1e-6)


def test_where_tiles_do_not_overlap_each_pixel_counts_once():
    picture = pictures()[0]
    ((_, answer, _),) = Sliding(0.0, 5).answers(means, source_of([picture]), 16)
    np.testing.assert_allclose(answer[0], picture.mean((0, 1)), rtol=1e-6)


def test_outputs_may_be_a_dict_and_tiles_are_resized_as_a_whole():
    def ask(images):
        assert images.shape == (5, 8, 8, 3)
        return {"mean": means(images), "count": np.ones((5, 1))}

    picture = pictures()[0]
    ((_, answer, _),) = Sliding(0.0, 5).answers(ask, source_of([picture]), 8)
    np.testing.assert_allclose(answer["mean"][0], picture.mean((0, 1)), atol=2)
    assert answer["count"].tolist() == [[1.0]]


def test_bad_images_are_told_of_and_do_not_touch_their_neighbours():
    good, small, last = pictures()[0], np.zeros((8, 99, 3), "uint8"), pictures()[3]
    source = source_of([good, b"no image", small, last])
    found = list(Sliding(0.0, 5).answers(means, source, 16))
    assert [number for number, answer, _ in found if answer is None] == [1, 2]
    assert "less than the tile of 16 x 16" in found[2][2]
    assert len(source.bad) == 2
    alone = [next(Sliding(0.0, 5).answers(means, source_of([item]), 16)) for item in (good, last)]
    np.testing.assert_array_equal(found[0][1], alone[0][1])
    np.testing.assert_array_equal(found[3][1], alone[1][1])


def test_a_file_that_breaks_in_its_middle_is_bad(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    from eesmm_keras.data.files import tiff

    picture = np.zeros((64, 64, 3), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", picture, tile=(16, 16), photometric="rgb")
    whole, asked = tiff._decoded, []

    def breaks(*args):
        asked.append(args[-1])
        if len(asked) == 8:
            raise ValueError("torn")
        return whole(*args)

    monkeypatch.setattr(tiff, "_decoded", breaks)
    source = source_of([str(tmp_path / "a.tif"), pictures()[0]])
    found = list(Sliding(0.0, 5).answers(means, source, 16))
    assert found[0][1] is None
    assert "torn" in found[0][2]
    np.testing.assert_allclose(found[1][1][0], pictures()[0].mean((0, 1)), rtol=1e-6)


def test_parts_of_a_tiff_are_read_once_and_pictures_may_lie_on_their_side(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    from eesmm_keras.data.files import tiff

    picture = pictures()[0]
    path = str(tmp_path / "a.tif")
    tags = [(274, "H", 1, 6, True)]  # lies on its side
    tifffile.imwrite(path, picture, tile=(16, 16), photometric="rgb", extratags=tags)
    whole, asked = tiff._decoded, []
    monkeypatch.setattr(tiff, "_decoded", lambda *args: asked.append(args[-1]) or whole(*args))
    tiles = [np.asarray(tile) for tile in source_of([path], tile=(16, 32)).tiles(0)]
    upright = np.split(np.rot90(picture, -1), 3)
    assert len(tiles) == 3
    for part in upright:
        assert any(np.array_equal(part, tile) for tile in tiles)
    assert sorted(asked) == list(range(6))


def test_an_overlap_out_of_its_range_is_refused():
    with pytest.raises(DataError, match=r"overlap must lie in \[0, 1\), got 1"):
        Sliding(1.0)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "classifier.keras"
    ImageClassifier(from_preset(TINY_SWIN), 3, CLASSES).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    for name, picture in zip("abcd", pictures(), strict=True):
        where = tmp_path / "data" / "test" / CLASSES["abcd".index(name) % 3]
        where.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(where / f"{name}.png")
    for label in CLASSES:
        (tmp_path / "data" / "train" / label).mkdir(parents=True)
        for name in "xy":
            Image.fromarray(pictures()[0]).save(tmp_path / "data" / "train" / label / f"{name}.png")
    return tmp_path / "data"


def test_predict_goes_on_after_every_image(folder, classifier, tmp_path, monkeypatch):
    test = folder / "test"
    whole = predict(classifier, test, tmp_path / "whole.csv", top=3, batch_size=4, tile=16)
    assert whole.images == 4
    open_model, calls = predicting.open_model, []

    class Stops:
        def __init__(self, model):
            self.model = model

        def __getattr__(self, name):
            return getattr(self.model, name)

        def logits(self, images):
            calls.append(1)
            if len(calls) in (3, 5):
                raise KeyboardInterrupt
            return self.model.logits(images)

    monkeypatch.setattr(predicting, "open_model", lambda *args: Stops(open_model(*args)))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            predict(classifier, test, tmp_path / "parts.csv", top=3, batch_size=4, tile=16)
    predict(classifier, test, tmp_path / "parts.csv", top=3, batch_size=4, tile=16)
    assert _numbers(tmp_path / "parts.csv") == pytest.approx(
        _numbers(tmp_path / "whole.csv"), abs=1e-5
    )
    assert len(calls) < 20


def _numbers(path):
    with open(path, newline="") as file:
        return [float(row["probability"]) for row in csv.DictReader(file)]


def test_evaluate_and_predict_agree(folder, classifier, tmp_path):
    answer = predict(classifier, folder / "test", tmp_path / "p.csv", tile=16, overlap=0.25)
    with open(answer.path, newline="") as file:
        rows = list(csv.DictReader(file))
    right = [row["file"].startswith(row["class"] + "/") for row in rows]
    findings, source = evaluate(str(folder), str(classifier), tile=16, overlap=0.25)
    assert findings.scores["accuracy"] == pytest.approx(np.mean(right))
    assert source.reading.tile == (16, 16)
    probed, _ = evaluate(str(folder), str(classifier), mode="knn:k=1", tile=16)
    assert 0 <= next(iter(probed.scores.values())) <= 1


def eesmm(*args):
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


def test_an_overlap_needs_tiles(folder, classifier, tmp_path):
    arguments = [
        "predict",
        "--weights",
        classifier,
        "--images",
        folder,
        "--out",
        tmp_path / "p.csv",
    ]
    with pytest.raises(UserError, match="--overlap is that of tiles: add --tile N"):
        eesmm(*arguments, "--overlap", 0.5)


def test_vectors_of_tiles_are_searched_by_those_of_a_picture_read_alike(
    folder, classifier, tmp_path
):
    vectors = tmp_path / "e.npy"
    arguments = [
        "embed",
        "--weights",
        classifier,
        "--images",
        folder,
        "--tile",
        16,
        "--out",
        vectors,
    ]
    with pytest.raises(UserError, match="--features pooled or stages"):
        eesmm(*arguments, "--features", "patches")
    eesmm(*arguments, "--features", "stages")
    found = eesmm("neighbours", vectors, "--query", folder / "test/blue/a.png")
    assert "1.0000" in found

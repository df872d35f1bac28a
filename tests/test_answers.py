"""Predictions and embeddings: the same file however often they are stopped; names of any bytes."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from conftest import TINY_SWIN
from eesmm_keras.answers import embedding, predicting
from eesmm_keras.answers.embedding import embed
from eesmm_keras.answers.keras_model import KerasModel
from eesmm_keras.answers.predicting import predict
from eesmm_keras.backbones import from_preset
from eesmm_keras.cli import main as cli
from eesmm_keras.data.sources import open_source
from eesmm_keras.data.stream import open_files, stream
from eesmm_keras.errors import UserError
from eesmm_keras.tasks.image_classifier import ImageClassifier

NAMES = ["a,b.png", 'say "hi".png', "new\nline.png", "sub/deep/c.png", "sub/d.png", "zürich.png",
         os.fsdecode(b"latin\xe9.png"), "z1.png", "z2.png", "z3.png", "z4.png"]  # fmt: skip
BAD = ["broken.png", "sub/cut.png", "zz.png"]
CLASSES = ("cat, big", "dog\nsmall", "owl")
UTF8 = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    (folder / "sub" / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), "uint8")).save(folder / name, "PNG")
    for name in BAD:
        (folder / name).write_bytes(b"no image")
    (folder / "notes.txt").write_text("not looked at")
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "classifier.keras"
    ImageClassifier(from_preset(TINY_SWIN), 3, CLASSES).save(path)
    return path


class Stand:
    """A model whose answer can be worked out by hand: the mean of every colour."""

    kind, image_shape, class_names, class_numbers = "stand-in", (8, 8, 3), CLASSES, None
    task = None
    asked, stop_at = 0, None

    def _means(self, images):
        self.asked += 1
        if self.asked == self.stop_at:
            raise KeyboardInterrupt
        return images.astype("float32").mean(axis=(1, 2)) / 64

    def logits(self, images):
        return self._means(images)

    def features(self, images):
        means = self._means(images)
        return {"pooled": means, "stages": {"P2": means[:, :1], "P3": means}, "patches": images}


@pytest.fixture
def stand(monkeypatch, tmp_path):
    model = Stand()
    for module in (predicting, embedding):
        monkeypatch.setattr(module, "open_model", lambda where, say=None: model)
    (tmp_path / "model.keras").write_bytes(b"")
    return model, tmp_path / "model.keras"


def rows(path):
    with open(path, **UTF8) as file:
        return list(csv.reader(file))


def everything(folder, name):
    """Bytes of all files of an answer but what tells of the time."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name.startswith(name)}


def eesmm(*args):
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


def test_a_stream_gives_every_image_once_in_order_from_anywhere(images):
    source, names = open_files(images)
    whole = list(stream(source, 8, 4))
    assert [batch.first for batch in whole] == [0, 4, 8, 12]
    assert all(batch.images.shape == (4, 8, 8, 3) for batch in whole)
    good = [names[batch.first + k] for batch in whole for k in batch.good]
    assert sorted(good) == sorted(NAMES)
    assert sorted(names[i] for batch in whole for i in batch.bad) == sorted(BAD)
    (last,) = stream(open_files(images)[0], 8, 4, start=12)
    np.testing.assert_array_equal(last.images, whole[-1].images)


def test_names_come_back_whatever_is_in_them(images, stand, tmp_path):
    _, weights = stand
    out = tmp_path / "p.csv"
    answer = predict(weights, images, out, top=2, batch_size=4)
    header, *found = rows(out)
    assert header == ["file", "class", "probability", "class_2", "probability_2"]
    assert sorted(row[0] for row in found) == sorted(NAMES)
    assert {row[1] for row in found} <= set(CLASSES)
    assert all(float(row[2]) >= float(row[4]) for row in found)
    assert (answer.images, answer.bad, answer.new) == (len(NAMES), len(BAD), True)
    assert [row[0] for row in rows(answer.bad_path)[1:]] == sorted(BAD)
    about = json.loads((tmp_path / "p.csv.about.json").read_text())
    assert (about["images"], about["bad_images"]) == (len(NAMES), len(BAD))
    assert not (tmp_path / "partial-p.csv").exists()


def _killed(folder, kept):
    """What a kill leaves: the rows up to some byte, and the bad ones that are written before them."""
    rows_file = folder / "rows.csv"
    rows_file.write_bytes(rows_file.read_bytes()[:kept])


@pytest.mark.parametrize("kind", ["predict", "embed"])
def test_cut_at_any_byte_it_goes_on_to_the_same_bytes(images, stand, tmp_path, kind):
    model, weights = stand
    name, ask = {
        "predict": ("x.csv", lambda out: predict(weights, images, out, top=3, batch_size=4)),
        "embed": ("x.npy", lambda out: embed(weights, images, out, "stages", batch_size=4)),
    }[kind]
    (tmp_path / "whole").mkdir()
    ask(tmp_path / "whole" / name)
    wanted = everything(tmp_path / "whole", name)
    # Stopped before its last batch, and then cut anywhere.
    model.asked, model.stop_at = 0, 4 if kind == "predict" else 5
    part = tmp_path / "part"
    part.mkdir()
    with pytest.raises(KeyboardInterrupt):
        ask(part / name)
    model.stop_at = None
    left = tmp_path / "left"
    shutil.copytree(part, left)
    size = (left / f"partial-{name}" / "rows.csv").stat().st_size
    for kept in range(0, size + 1, 1 if kind == "embed" else 7):
        shutil.rmtree(part)
        shutil.copytree(left, part)
        _killed(part / f"partial-{name}", kept)
        model.asked = 0
        ask(part / name)
        assert everything(part, name) == wanted, kept
        assert not (part / f"partial-{name}").exists()
    assert model.asked < 4 + (kind == "embed")  # what was whole was not asked again


def test_a_matrix_shorter_than_its_names_counts(images, stand, tmp_path):
    model, weights = stand
    embed(weights, images, tmp_path / "whole.npy", batch_size=4)
    model.asked, model.stop_at = 0, 5
    with pytest.raises(KeyboardInterrupt):
        embed(weights, images, tmp_path / "x.npy", batch_size=4)
    model.stop_at = None
    matrix = tmp_path / "partial-x.npy" / "matrix.bin"
    os.truncate(matrix, matrix.stat().st_size - 70)
    embed(weights, images, tmp_path / "x.npy", batch_size=4)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), np.load(tmp_path / "whole.npy"))


def test_the_formats_of_an_embedding_say_the_same(images, stand, tmp_path):
    _, weights = stand
    parquet = pytest.importorskip("pyarrow.parquet")
    for suffix in ("npy", "csv", "parquet"):
        embed(weights, images, tmp_path / f"e.{suffix}", "stages", "float16")
    array = np.load(tmp_path / "e.npy")
    assert (array.shape, array.dtype) == ((len(NAMES), 4), np.float16)
    names = [row[0] for row in rows(tmp_path / "e.npy.names.csv")[1:]]
    assert sorted(names) == sorted(NAMES)
    _, *cells = rows(tmp_path / "e.csv")
    assert [row[0] for row in cells] == names
    np.testing.assert_array_equal(np.array([row[1:] for row in cells], np.float16), array)
    table = parquet.read_table(tmp_path / "e.parquet")
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), array)
    assert table["file"].to_pylist()[names.index(os.fsdecode(b"latin\xe9.png"))] == r"latin\xe9.png"
    about = json.loads((tmp_path / "e.csv.about.json").read_text())
    assert about["parts"] == {"P2": [0, 1], "P3": [1, 4]}
    embed(weights, images, tmp_path / "patches.npy", "patches")
    assert np.load(tmp_path / "patches.npy").shape == (len(NAMES), 8, 8, 3)


def test_what_is_there_is_not_lost(images, stand, tmp_path):
    model, weights = stand
    out = tmp_path / "p.csv"
    out.write_text("mine")
    with pytest.raises(UserError, match=r"p.csv already exists.*--overwrite"):
        predict(weights, images, out)
    assert out.read_text() == "mine"
    predict(weights, images, out, overwrite=True)
    asked, before = model.asked, out.read_bytes()
    assert not predict(weights, images, out).new
    assert model.asked == asked
    with pytest.raises(UserError, match="top was 1, and is 2 now"):
        predict(weights, images, out, top=2)
    os.utime(weights, (1, 1))
    with pytest.raises(UserError, match="weights was"):
        predict(weights, images, out)
    assert out.read_bytes() == before
    with pytest.raises(UserError, match="at most 3, the classes; got 4"):
        predict(weights, images, tmp_path / "new.csv", top=4)
    with pytest.raises(UserError, match=r"must end in .npy, .parquet or .csv"):
        embed(weights, images, tmp_path / "new.txt")
    with pytest.raises(UserError, match=r"must end in .csv, got .*new.npy"):
        predict(weights, images, tmp_path / "new.npy")
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        predict(weights, tmp_path / "none", tmp_path / "new.csv")
    assert not list(tmp_path.glob("*new*"))


def test_killed_between_two_renamings_the_rest_is_moved(images, stand, tmp_path):
    _, weights = stand
    out, work = tmp_path / "p.csv", tmp_path / "partial-p.csv"
    predict(weights, images, out)
    wanted = everything(tmp_path, "p.csv")
    # The bad images had got their name already.
    work.mkdir()
    shutil.move(out, work / "rows.csv")
    shutil.move(tmp_path / "p.csv.about.json", work / "about.json")
    assert not predict(weights, images, out).new
    assert everything(tmp_path, "p.csv") == wanted
    assert not work.exists()


def test_outputs_that_are_not_finite_are_told(images, stand, tmp_path):
    model, weights = stand
    model.features = lambda images: {"pooled": np.full((len(images), 2), 1e6, "float32")}
    with pytest.raises(UserError, match=r"up to 1e\+06 do not fit into float16"):
        embed(weights, images, tmp_path / "e.npy", precision="float16")
    model.logits = lambda images: np.full((len(images), 3), np.nan)
    with pytest.raises(UserError, match="not finite"):
        predict(weights, images, tmp_path / "p.csv")


def test_an_exported_file_says_what_the_model_says(images, classifier, tmp_path):
    onnx = tmp_path / "classifier.onnx"
    eesmm("export", "--weights", classifier, "--format", "onnx", "--out", onnx)
    text = eesmm(
        "predict", "--weights", classifier, "--images", images, "--out", tmp_path / "k.csv"
    )
    assert f"{len(NAMES)} images" in text
    assert "3 could not be read" in text
    eesmm("predict", "--weights", onnx, "--images", images, "--out", tmp_path / "o.csv")
    ours, theirs = rows(tmp_path / "k.csv")[1:], rows(tmp_path / "o.csv")[1:]
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    probabilities = np.array([[row[2] for row in some] for some in (ours, theirs)], float)
    np.testing.assert_allclose(*probabilities, atol=1e-4)
    with pytest.raises(
        UserError, match=r"gives logits, but no features. Export it with --features"
    ):
        embed(onnx, images, tmp_path / "e.npy")
    (tmp_path / "text.onnx").write_text("no")
    with pytest.raises(UserError, match="cannot be read as an ONNX file"):
        predict(tmp_path / "text.onnx", images, tmp_path / "x.csv")


def test_features_of_a_model_are_those_of_its_encoder(images, classifier, tmp_path):
    eesmm("embed", "--weights", classifier, "--images", images, "--out", tmp_path / "e.npy")
    model = KerasModel(classifier)
    source, _ = open_files(images)
    pixels = np.concatenate([batch.images[batch.good] for batch in stream(source, 32, 5)])
    found = model.features(pixels)
    np.testing.assert_allclose(np.load(tmp_path / "e.npy"), found["pooled"], atol=1e-5)
    assert found["patches"].shape[0] == len(NAMES)
    assert sum(level.shape[1] for level in found["stages"].values()) > found["pooled"].shape[1]
    text = eesmm("neighbours", tmp_path / "e.npy", "--query", images / "z3.png", "--top", "1")
    assert text.splitlines()[1].split() == ["z3.png", "1", "z3.png", "1.00000"]
    from_preset(TINY_SWIN).save(tmp_path / "encoder.keras")
    with pytest.raises(UserError, match="is no classifier: it holds SwinBackbone"):
        predict(tmp_path / "encoder.keras", images, tmp_path / "p.csv")


def test_of_a_data_set_the_test_images_are_asked_about(images, stand, tmp_path):
    for spec in ("digits", "photo-tiles"):
        test = open_source(spec, "test")
        assert list(open_files(spec)[1]) == [test.describe(i) for i in range(len(test))]
    call = ["predict", "--weights", stand[1], "--images", "digits", "--out", tmp_path / "said.csv"]
    said = eesmm(*call).splitlines()
    assert said[0] == "The test part of digits (--split takes another)."
    assert said[1].endswith("said.csv: 359 images")
    said = eesmm(*call, "--split", "val", "--overwrite").splitlines()
    assert said[0] == "The val part of digits."
    with pytest.raises(UserError, match="all images of"):
        open_files(images, "test")

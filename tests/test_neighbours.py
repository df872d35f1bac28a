"""Neighbours and near-duplicates, against what can be worked out by hand or by brute force."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from eesmm_keras.answers import duplicates, neighbours
from eesmm_keras.answers.embeddings import read_embeddings, unit_length
from eesmm_keras.answers.matrix_files import MatrixFile, write_as
from eesmm_keras.answers.neighbours import Neighbours
from eesmm_keras.cli import main as cli
from eesmm_keras.errors import UserError


def eesmm(*args):
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


def write(folder, matrix, names, dtype="float32", about=None):
    path = folder / "e.npy"
    with MatrixFile(path, matrix.shape[1:], dtype) as file:
        file.keep(0)
        file.add(matrix)
        file.keep(len(matrix))
    with open(folder / "e.npy.names.csv", "w", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file, lineterminator="\n").writerows([["file"], *([name] for name in names)])
    (folder / "e.npy.about.json").write_text(json.dumps(about or {}))
    return path


@pytest.fixture(scope="module")
def compass(tmp_path_factory):
    """Pictures whose vectors are directions, in degrees; two of them nearly the same."""
    folder = tmp_path_factory.mktemp("compass")
    degrees = {"n,0.png": 90, "e.png": 0, "e again\n.png": 1, "w.png": 180, "half.png": 50}
    for number, name in enumerate(degrees):
        Image.new("RGB", (30, 20), (40 * number, 90, 200)).save(folder / name)
    angles = np.deg2rad(list(degrees.values()))
    lengths = np.array([1, 5, 0.1, 2, 3])[:, None]  # the cosine does not see them
    matrix = np.stack([np.cos(angles), np.sin(angles)], 1) * lengths
    return write(folder, matrix, degrees, about={"asked": {"images": str(folder)}})


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("suffix", [".npy", ".csv", ".parquet"])
def test_every_format_is_read_again(tmp_path, suffix, dtype):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    matrix = np.random.default_rng(0).standard_normal((7, 3)).astype(dtype)
    names = [f"im,{i}\n.png" for i in range(7)]
    path = write(tmp_path, matrix, names, dtype)
    if suffix != ".npy":
        path = tmp_path / f"e{suffix}"
        write_as(suffix, path, matrix, names)
    found = read_embeddings(path)
    assert found.names == names
    wanted = matrix.astype("float32")
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(found.vectors, wanted, atol=1e-6 if dtype == "float32" else 1e-3)


def test_the_nearest_are_those_of_the_largest_cosine(monkeypatch):
    monkeypatch.setattr(neighbours, "_QUERIES_AT_ONCE", 8)
    vectors = unit_length(np.random.default_rng(1).standard_normal((40, 6)), "")

    class Some:
        pass

    some = Some()
    some.vectors, some.names = vectors, [str(i) for i in range(40)]
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    wanted = np.argsort(-cosines, axis=1)[:, :3]
    found = list(Neighbours(some).of_all(3))
    np.testing.assert_array_equal([numbers for numbers, _ in found], wanted)
    np.testing.assert_allclose(
        [values for _, values in found], np.take_along_axis(cosines, wanted, 1), atol=1e-5
    )


def test_the_command_shows_a_table_and_a_picture(compass, tmp_path):
    out, picture = tmp_path / "table.csv", tmp_path / "grid.png"
    text = eesmm("neighbours", compass, "--top", "2", "--out", out, "--picture", picture)
    header, *rows = csv.reader(out.read_text().splitlines(keepends=True))
    assert header == ["query", "rank", "file", "cosine"]
    assert rows[:2] == [["n,0.png", "1", "half.png", f"{np.cos(np.deg2rad(40)):.5f}"],
                        ["n,0.png", "2", "e again\n.png", f"{np.cos(np.deg2rad(89)):.5f}"]]  # fmt: skip
    assert len(rows) == 10
    assert r"e again\n.png" in text
    sheet = Image.open(picture)
    assert sheet.width > 3 * 112
    assert sheet.height > 5 * 112
    assert sheet.getpixel((6 + 60, 6 + 56)) == (0, 90, 200)
    text = eesmm("neighbours", compass, "--query", "w.png", "--top", "1")
    assert text.splitlines()[1].split() == ["w.png", "1", "w.png", "1.00000"]


def test_near_duplicates_hang_together(compass):
    text = eesmm("neighbours", compass, "--duplicates", "0.999")
    *rows, last = text.splitlines()
    assert [line.split()[0] for line in rows] == ["group", "1", "1"]
    assert last == "2 of 5 images in 1 group, of a cosine of 0.999 or more."
    assert "a higher one" in eesmm("neighbours", compass, "--duplicates", "-1").splitlines()[-1]
    assert f"{np.cos(np.deg2rad(1)):.5f}" in text
    assert "Nothing found" in eesmm("neighbours", compass, "--duplicates", "0.9999")


@pytest.mark.parametrize("pairs", [3, 10**6])
def test_groups_are_those_of_all_pairs_whatever_the_blocks(monkeypatch, pairs):
    monkeypatch.setattr(duplicates, "_ROWS", 7)
    monkeypatch.setattr(duplicates, "_PAIRS", pairs)
    # A chain: neighbours are alike, and its ends are not.
    angles = np.deg2rad([0, 5, 10, 15, *range(90, 350, 12), 92, 92, 20])
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype("float32")
    groups, best = duplicates.near_duplicates(vectors, np.cos(np.deg2rad(6)))
    last = len(angles) - 1
    assert [group.tolist() for group in groups] == [[0, 1, 2, 3, last], [4, last - 2, last - 1]]
    assert best[last - 1] == pytest.approx(1, abs=1e-6)
    assert best[0] == pytest.approx(np.cos(np.deg2rad(5)), abs=1e-6)
    assert len(duplicates.near_duplicates(vectors, 1.0)[0]) == 1  # the two that are the same


def test_wrong_embeddings_are_told_in_a_line(compass, tmp_path):
    with pytest.raises(UserError, match=r"no image of that name in .*e.npy"):
        eesmm("neighbours", compass, "--query", "nowhere.png")
    with pytest.raises(UserError, match="does not say which encoder made it: give --weights"):
        eesmm("neighbours", compass, "--query", compass.parent / "w.png")
    with pytest.raises(UserError, match=r"--picture must end in .png"):
        eesmm("neighbours", compass, "--picture", tmp_path / "x.jpg")
    with pytest.raises(UserError, match=r"must end in .npy"):
        eesmm("neighbours", tmp_path / "e.txt")
    write(tmp_path, np.zeros((2, 3, 3, 4)), ["a", "b"])
    with pytest.raises(UserError, match="one vector an image"):
        eesmm("neighbours", tmp_path / "e.npy")
    write(tmp_path, np.full((2, 3), np.nan), ["a", "b"])
    with pytest.raises(UserError, match="not finite"):
        eesmm("neighbours", tmp_path / "e.npy")
    (tmp_path / "e.npy").write_bytes(b"damaged")
    with pytest.raises(UserError, match="cannot be read as embeddings"):
        eesmm("neighbours", tmp_path / "e.npy")

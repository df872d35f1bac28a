"""Data in bulk: tar shards and Parquet give the batches of the folder, from the disk."""

import json
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import labelled_dataset
from eesmm_keras.data.sources import open_source


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twenty-one pictures in three class folders, with odd names."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(21):
        path = folder / ("a", "a.b", "c d")[i % 3] / f"{i}{'é' * (i % 2)}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 14, 3), np.uint8)).save(path)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EESMM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files(folder):
    return sorted(path for path in folder.rglob("*.png"))


def pack(folder, where, shards=3, classes=False):
    """Tar shards of the folder, its files in no order."""
    where.mkdir()
    shuffled = np.random.default_rng(1).permutation(files(folder)).tolist()
    for k in range(shards):
        with tarfile.open(where / f"s-{k:02}.tar", "w") as tar:
            for path in shuffled[k::shards]:
                name = f"./{path.relative_to(folder)}"
                if classes:
                    name = str(path.relative_to(folder)).replace("/", "_")
                    label = where / "label"
                    label.write_text(f" {len(path.parent.name)}\n")
                    tar.add(label, name.removesuffix(".png") + ".cls")
                    label.unlink()
                tar.add(path, name)
    return f"wds:{where}"


def batches(spec, **options):
    import tensorflow as tf

    source = open_source(spec, "train", labelled=True, seed=2, **options)
    one_hot = {"targets": lambda labels: tf.one_hot(labels, 3), "steps": 4, "seed": 2}
    return list(labelled_dataset(source, (8, 10), 3, **one_hot).as_numpy_iterator())


def assert_same(found, expected):
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine[0], theirs[0])
        np.testing.assert_array_equal(mine[1], theirs[1])


def test_tar_shards_give_the_batches_of_their_folder(folder, cache, tmp_path):
    expected, spec = batches(folder), pack(folder, tmp_path / "tars")
    assert_same(batches(spec), expected)
    assert len(list((cache / "shards").iterdir())) == 3
    assert_same(batches(f"{spec}/s-{{00..02}}.tar"), expected)  # out of the cache
    source = open_source(spec)
    assert source.class_names == ("a", "a.b", "c d")
    assert "a/0.png in " in source.describe(0)


def test_class_numbers_stand_in_members_of_their_own(folder, cache, tmp_path):
    source = open_source(pack(folder, tmp_path / "tars", classes=True), labelled=True)
    assert source.class_names == ("0", "1", "2", "3")
    np.testing.assert_array_equal(np.bincount(source.labels), [0, 7, 0, 14])


def test_a_shard_that_changed_is_looked_at_again(folder, cache, tmp_path):
    spec = pack(folder, tmp_path / "tars", shards=1)
    assert len(open_source(spec)) == 21
    with tarfile.open(tmp_path / "tars" / "s-00.tar", "a") as tar:
        tar.add(files(folder)[0], "a/zzz.png")
    assert len(open_source(spec)) == 22
    next((cache / "shards").iterdir()).write_bytes(b"PK damaged")
    assert len(open_source(spec)) == 22


def test_parts_are_told_by_the_names_of_shards(folder, cache, tmp_path):
    pack(folder, tmp_path / "tars")
    for k, name in enumerate(("train-0", "val-0", "test-0")):
        os.rename(tmp_path / "tars" / f"s-{k:02}.tar", tmp_path / "tars" / f"{name}.tar")
    spec = f"wds:{tmp_path / 'tars'}"
    assert [len(open_source(spec, part)) for part in ("train", "val", "test")] == [7, 7, 7]


@pytest.mark.parametrize("damage", ["cut", "gzip", "none", "text", "class"])
def test_shards_that_cannot_be_read_are_told_in_one_line(damage, folder, cache, tmp_path):
    spec = pack(folder, tmp_path / "tars", shards=1)
    path = tmp_path / "tars" / "s-00.tar"
    message = "cannot be read as a tar file"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    elif damage == "gzip":
        with tarfile.open(path, "w:gz") as tar:
            tar.add(files(folder)[0], "a.png")
    elif damage == "none":
        path.unlink()
        message = "holds no tar files"
    else:
        with tarfile.open(path, "w") as tar:
            (tmp_path / "x").write_text("three")
            tar.add(tmp_path / "x", "a.cls" if damage == "class" else "a.txt")
        message = "no class number" if damage == "class" else "There are no images"
    with pytest.raises(DataError, match=message) as caught:
        open_source(spec)
    assert "\n" not in str(caught.value)


def test_a_bad_member_is_a_bad_image(folder, cache, tmp_path):
    spec = pack(folder, tmp_path / "tars", shards=1)
    with tarfile.open(tmp_path / "tars" / "s-00.tar", "a") as tar:
        (tmp_path / "x").write_bytes(b"no image")
        tar.add(tmp_path / "x", "a/!.png")
    source = open_source(spec)
    with pytest.raises(DataError, match=r"a/!\.png in .*cannot be decoded"):
        source.load(0)
    assert source.load_good(0)[1] == 1


def write_parquet(folder, path, names=None):
    pyarrow, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"bytes": file.read_bytes(), "path": file.name} for file in files(folder)]
    numbers = {"a": 0, "a.b": 1, "c d": 2}
    table = pyarrow.table(
        {"label": [numbers[file.parent.name] for file in files(folder)], "image": rows}
    )
    if names:
        about = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table, path, row_group_size=4)


def test_parquet_gives_the_batches_of_the_folder(folder, cache, tmp_path):
    write_parquet(folder, tmp_path / "train-0.parquet", ["x", "y", "z"])
    expected, spec = batches(folder), f"parquet:{tmp_path}"
    assert_same(batches(spec), expected)
    assert_same(batches(f"{spec}/*.parquet"), expected)
    assert open_source(spec).class_names == ("x", "y", "z")
    assert len(list((cache / "parquet").iterdir())) == 1  # unpacked once


def test_parquet_that_holds_no_images_is_told_in_one_line(cache, tmp_path):
    pyarrow, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pyarrow.table({"label": [1], "text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"no column of images.*label, text"):
        open_source(f"parquet:{tmp_path}")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more than this PAR1")
    with pytest.raises(DataError, match="cannot be read as Parquet") as caught:
        open_source(f"parquet:{tmp_path}")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"no \.parquet files"):
        open_source(f"parquet:{cache}")

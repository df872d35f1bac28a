"""Prepared shards: the images of their folder, in its order, whatever stopped the making."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from eesmm_keras.cli import main as cli
from eesmm_keras.data import preparing
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import pretrain_dataset
from eesmm_keras.data.preparing import prepare
from eesmm_keras.data.reading import Reading
from eesmm_keras.data.sources import open_source


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Smooth pictures of two classes, in parts, one of them bad."""
    root = tmp_path_factory.mktemp("images") / "data"
    rng = np.random.default_rng(0)
    for part, count in (("train", 7), ("test", 2)):
        for label in "ab":
            (root / part / label).mkdir(parents=True)
            for i in range(count):
                small = Image.fromarray(rng.integers(0, 256, (3, 4, 3), "uint8"))
                picture = small.resize((80, 60), Image.Resampling.BICUBIC)
                picture.save(root / part / label / f"{i}.png")
    return root


def eesmm(*arguments):
    result = CliRunner().invoke(cli.group, list(map(str, arguments)))
    if result.exception:
        raise result.exception
    return result.output


@pytest.mark.parametrize("raw", [True, False])
def test_prepared_data_are_the_folder_at_another_size(folder, tmp_path, raw):
    out = tmp_path / "shards"
    said = eesmm("prepare", "--data", folder, "--out", out, "--size", 30, "--images-per-shard", 4,
                 *(["--raw"] if raw else []))  # fmt: skip
    assert "18 images in 5 shards" in said
    for split in (None, "train", "val", "test"):
        there, here = open_source(folder, split), open_source(out, split)
        assert here.class_names == there.class_names
        np.testing.assert_array_equal(here.labels, there.labels)
        for i in range(len(there)):
            wanted = there.load(i).resize((40, 30), Image.Resampling.LANCZOS, reducing_gap=3.0)
            difference = np.asarray(here.load(i), float) - np.asarray(wanted, float)
            assert np.abs(difference).mean() < (0.01 if raw else 4)
            assert there.describe(i).removeprefix(f"{folder}/") in here.describe(i)


def test_images_that_are_no_larger_stay_and_batches_are_the_same_bit_for_bit(folder, tmp_path):
    prepare(folder, tmp_path / "shards", size=60, raw=True, per_shard=5)
    batches = [
        list(
            pretrain_dataset(open_source(place), 16, 4, 6, start_step=2, seed=3).as_numpy_iterator()
        )
        for place in (folder, tmp_path / "shards")
    ]
    np.testing.assert_array_equal(*batches)


def test_records_are_examples_that_tensorflow_reads(folder, tmp_path):
    import tensorflow as tf

    prepare(folder, tmp_path / "shards", size=30)
    kinds = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
    }
    records = tf.data.TFRecordDataset(str(tmp_path / "shards" / "test-00000.tfrecord"))
    found = [tf.io.parse_single_example(record, kinds) for record in records]
    assert [int(one["image/class/label"]) for one in found] == [0, 0, 1, 1]
    assert bytes(found[0]["image/filename"].numpy()) == b"test/a/0.png"
    assert tf.io.decode_jpeg(found[0]["image/encoded"]).shape == (30, 40, 3)


def stopped_at_third_shard(monkeypatch):
    """Let `prepare` be interrupted before the third shard it writes: list of the names it comes to."""
    made, write = [], preparing._write

    def stops(out, name, *arguments):
        made.append(name)
        if len(made) == 3:
            raise KeyboardInterrupt
        return write(out, name, *arguments)

    monkeypatch.setattr(preparing, "_write", stops)
    return made


def test_what_was_stopped_goes_on_and_makes_the_same(folder, tmp_path, monkeypatch):
    prepare(folder, tmp_path / "whole", size=30, per_shard=3)
    made = stopped_at_third_shard(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, tmp_path / "parts", size=30, per_shard=3)
    assert not (tmp_path / "parts" / "index.json").exists()
    prepare(folder, tmp_path / "parts", size=30, per_shard=3)
    assert made == ["train-00000", "train-00001", *(f"train-0000{k}" for k in (2, 2, 3, 4)),
                    "test-00000", "test-00001"]  # fmt: skip
    for path in (tmp_path / "whole").glob("*.tfrecord"):
        assert path.read_bytes() == (tmp_path / "parts" / path.name).read_bytes()
    with pytest.raises(DataError, match="was begun with another size"):
        prepare(folder, tmp_path / "parts", size=31, per_shard=3)


def test_images_that_cannot_be_read_are_left_out_and_listed(folder, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for i in range(4):
        (data / f"{i}.png").write_bytes((folder / "train/a" / f"{i}.png").read_bytes())
    torn = bytearray((data / "2.png").read_bytes())
    torn[len(torn) // 2] ^= 255
    (data / "2.png").write_bytes(torn)
    index = prepare(data, tmp_path / "shards", size=30)
    assert index["images"] + index["bad_images"] in (3, 4)
    assert len(open_source(tmp_path / "shards")) == 3


def test_a_part_is_kept_though_the_data_have_a_note(folder, tmp_path):
    for part in ("train", "test"):
        for label in "ab":
            (tmp_path / "data" / part / label).mkdir(parents=True)
            for i in range(2):
                image = (folder / part / label / f"{i}.png").read_bytes()
                (tmp_path / "data" / part / label / f"{i}.png").write_bytes(image)
    (tmp_path / "data" / "test" / "a" / "link.png").symlink_to(folder / "train/a/0.png")
    assert "not followed" in open_source(tmp_path / "data", "test").note
    index = prepare(tmp_path / "data", tmp_path / "shards", size=30)
    assert sorted(index["parts"]) == ["test", "train"]


def test_masks_are_not_lost_in_silence(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "a.png")
    (tmp_path / "classes.json").write_text('{"names": ["sky", "road"]}')
    with pytest.raises(DataError, match="labels that are no class numbers"):
        prepare(tmp_path, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()


def test_damage_is_found_when_a_picture_is_read(folder, tmp_path):
    out = tmp_path / "shards"
    prepare(folder, out, size=30, raw=True)
    shard = out / "train-00000.tfrecord"
    data = bytearray(shard.read_bytes())
    data[int(np.load(out / "train-00000.npz")["offsets"][3]) + 5] ^= 1
    shard.write_bytes(data)
    source, bad = open_source(out), []
    for i in range(len(source)):
        try:
            source.load(i)
        except DataError as error:
            bad.append(str(error))
    assert len(bad) == 1
    assert "checksum" in bad[0]
    shard.write_bytes(data[:-1])
    with pytest.raises(DataError, match="instead of"):
        open_source(out)


def test_what_shards_do_not_hold_is_refused(folder, tmp_path):
    out = tmp_path / "shards"
    prepare(folder, out, size=30)
    with pytest.raises(DataError, match="prepared 8-bit RGB"):
        open_source(out, reading=Reading(pixels="native"))
    index = json.loads((out / "index.json").read_text())
    (out / "index.json").write_text(json.dumps({**index, "version": 2}))
    with pytest.raises(DataError, match="prepare it again"):
        open_source(out)


@pytest.fixture
def bucket():
    """An address that holds nothing, in this process's memory."""
    files = pytest.importorskip("fsspec").filesystem("memory")
    yield "memory://bucket/shards"
    files.store.clear()


def test_shards_at_an_address_are_those_of_a_folder(folder, tmp_path, bucket, monkeypatch):
    prepare(folder, tmp_path / "shards", size=30, per_shard=5)
    made = stopped_at_third_shard(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, bucket, size=30, per_shard=5)
    with pytest.raises(DataError, match="no prepared data at memory://bucket/shards"):
        open_source(bucket)
    assert "18 images in 4 shards" in eesmm(
        "prepare", "--data", folder, "--out", bucket, "--size", 30, "--images-per-shard", 5
    )
    assert made.count("train-00000") == 1
    for split in ("train", "test"):
        here, there = open_source(bucket, split), open_source(tmp_path / "shards", split)
        for i in range(len(there)):
            np.testing.assert_array_equal(here.load(i), there.load(i))
    assert f"in {bucket}/test-00000.tfrecord" in here.describe(0)
    with pytest.raises(DataError, match="was begun with another size"):
        prepare(folder, bucket, size=31, per_shard=5)


def test_addresses_that_do_not_answer_say_why(bucket):
    with pytest.raises(DataError, match="no address that fsspec knows"):
        open_source("nonsense://bucket/shards")
    with pytest.raises(DataError, match="no prepared data"):
        open_source(bucket)


def test_damage_at_an_address_is_a_bad_image(folder, bucket):
    prepare(folder, bucket, size=30, raw=True)
    files = pytest.importorskip("fsspec").filesystem("memory")
    path = f"{bucket.removeprefix('memory:/')}/train-00000.tfrecord"
    source, data = open_source(bucket), bytearray(files.cat_file(path))
    files.pipe_file(path, bytes(255 - byte for byte in data))
    with pytest.raises(DataError, match="checksum"):
        source.load(0)
    files.rm(path)
    with pytest.raises(DataError, match="not there any more"):
        source.load(0)

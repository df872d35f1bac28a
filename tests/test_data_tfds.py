import numpy as np
import pytest

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import evaluation_dataset
from eesmm_keras.data.sources import open_source

tfds = pytest.importorskip("tensorflow_datasets")


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Pictures of one value each, 12 for training and 4 for testing, of two classes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=["even", "odd"]),
                "id": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(12), "test": self._generate_examples(4)}

    def _generate_examples(self, count):
        for i in range(count):
            image = np.full((6, 6, 3), i, np.uint8)
            yield i, {"image": image, "label": i % 2, "id": str(i)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    TinyPictures(data_dir=folder).download_and_prepare()
    return folder


def values(source):
    return [source.load(i).getpixel((0, 0))[0] for i in range(len(source))]


def test_splits(folder):
    spec = "tfds:tiny_pictures"
    train = open_source(spec, data_dir=folder, labelled=True)
    assert sorted(values(train)) == list(range(12))
    assert train.class_names == ("even", "odd")
    np.testing.assert_array_equal(train.labels, np.array(values(train)) % 2)
    assert "tiny_pictures train image 0" in train.describe(0)
    parts = {name: open_source(spec, name, data_dir=folder) for name in ("train", "val", "test")}
    assert sorted(values(parts["train"]) + values(parts["val"])) == list(range(12))
    np.testing.assert_array_equal(np.bincount(parts["val"].labels), [1, 1])
    assert sorted(values(parts["test"])) == [0, 1, 2, 3]
    assert values(train) == values(open_source(spec, data_dir=folder))


def test_a_named_split_is_divided_like_a_folder(folder):
    spec = "tfds:tiny_pictures:1.0.0:train[:50%]"
    assert len(open_source(spec, data_dir=folder)) == 6
    assert len(open_source(spec, "train", data_dir=folder, val_fraction=0.34)) == 4
    assert "validation" in open_source(spec, "test", data_dir=folder).note


def test_it_feeds_a_pipeline(folder):
    source = open_source("tfds:tiny_pictures:test", data_dir=folder)
    ((images, labels),) = evaluation_dataset(source, 8, 4)
    np.testing.assert_array_equal(images[:, 0, 0, 0], values(source))
    np.testing.assert_array_equal(labels, source.labels)


def test_errors(folder):
    with pytest.raises(DataError, match=r"'no_such_pictures' is not in .*tfds build"):
        open_source("tfds:no_such_pictures", data_dir=folder)
    with pytest.raises(DataError, match=r"no split 'dev'.*'test', 'train'"):
        open_source("tfds:tiny_pictures:dev", data_dir=folder)
    with pytest.raises(DataError, match=r"Expected 'tfds:NAME'"):
        open_source("tfds:", data_dir=folder)


def test_data_that_cannot_be_fetched_are_an_error(tmp_path, monkeypatch):
    def fail(self, *args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(TinyPictures, "download_and_prepare", fail)
    with pytest.raises(DataError, match=r"no network.*tfds build tiny_pictures"):
        open_source("tfds:tiny_pictures", data_dir=tmp_path)


def test_records_of_several_files_are_read_by_offset_in_the_order_of_tfds(tmp_path, monkeypatch):
    monkeypatch.setenv("EESMM_CACHE", str(tmp_path / "cache"))
    config = tfds.download.DownloadConfig(num_shards=4)
    builder = TinyPictures(data_dir=tmp_path)
    builder.download_and_prepare(download_config=config)
    assert len(builder.info.splits["train"].filepaths) == 4
    for split in ("train", "train[25%:]", "train[:4]+test[1:]"):
        expected = list(tfds.as_numpy(builder.as_dataset(split=split)))
        source = open_source(f"tfds:tiny_pictures:{split}", data_dir=tmp_path, labelled=True)
        assert values(source) == [row["image"][0, 0, 0] for row in expected]
        assert list(source.labels) == [row["label"] for row in expected]
    # What is kept of the files serves them as long as they are the same.
    again = open_source("tfds:tiny_pictures:train", data_dir=tmp_path)
    assert len(list((tmp_path / "cache" / "tfds").iterdir())) == 3
    shard = builder.info.splits["train"].filepaths[0]
    data = shard.read_bytes()
    shard.write_bytes(data[:-5])
    with pytest.raises(DataError, match="cut short"):
        open_source("tfds:tiny_pictures:train", data_dir=tmp_path)
    shard.unlink()
    gone = [i for i in range(12) if "cannot be read: No such file" in failure(again, i)]
    assert 0 < len(gone) < 12


def failure(source, i):
    try:
        source.load(i)
    except DataError as error:
        return str(error)
    return ""


def test_images_without_labels_are_read_by_offset_too(folder, monkeypatch):
    from eesmm_keras.data.formats import tfds as source

    monkeypatch.setattr(source, "_keys", lambda spec, builder: ("image", None))
    images = open_source("tfds:tiny_pictures", data_dir=folder)
    assert images.labels is None
    assert sorted(values(images)) == list(range(12))


def test_a_split_larger_than_memory_is_refused_where_it_must_be_held(folder, monkeypatch):
    from eesmm_keras.data.formats import tfds as source

    monkeypatch.setattr(source, "_READERS", {})
    expected = values(open_source("tfds:tiny_pictures:test", data_dir=folder))
    monkeypatch.undo()
    assert values(open_source("tfds:tiny_pictures:test", data_dir=folder)) == expected
    monkeypatch.setattr(source, "_READERS", {})
    monkeypatch.setattr(source.os, "sysconf", lambda name: 1)
    with pytest.raises(DataError, match=r"GiB of memory"):
        open_source("tfds:tiny_pictures", data_dir=folder)


def test_arrayrecord_is_read_by_number(tmp_path, monkeypatch):
    pytest.importorskip("array_record")
    monkeypatch.setenv("EESMM_CACHE", str(tmp_path / "cache"))
    TinyPictures(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    for split, part in ((None, "train"), ("val", "val"), ("test", "test")):
        source = open_source("tfds:tiny_pictures", split, data_dir=tmp_path, labelled=True)
        np.testing.assert_array_equal(source.labels, np.array(values(source)) % 2)
        assert len(source) == {"train": 12, "val": 2, "test": 4}[part]
    assert sorted(values(open_source("tfds:tiny_pictures", data_dir=tmp_path))) == list(range(12))
    assert len(list((tmp_path / "cache" / "tfds").iterdir())) == 2  # labels of two splits
    half = open_source("tfds:tiny_pictures:train[:50%]", data_dir=tmp_path)
    assert len(half) == 6
    with pytest.raises(DataError, match="has no split 'valid'"):
        open_source("tfds:tiny_pictures:valid", data_dir=tmp_path)

"""TensorFlow Datasets as an image source: encoded files, decoded one by one."""

import os
import re
from collections.abc import Sequence

import numpy as np

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.image_source import Chosen, ImageSource
from eesmm_keras.data.kept import identity, kept_arrays
from eesmm_keras.data.lazy import Lazy
from eesmm_keras.data.source import Source
from eesmm_keras.data.splits import choose_part, piece_indices
from eesmm_keras.data.tfrecords import Examples, record_extents
from eesmm_keras.progress import track

# A version follows the name after a colon too: tfds:mnist:3.0.1:train
_SPEC = re.compile(r"tfds:(?P<name>[\w/.\-]+(:\d+\.\d+\.\d+)?)(:(?P<split>[A-Za-z_].*))?")
# Examples of which the labels are read together.
_AT_ONCE = 1024
_PARTS = {"train": "train", "validation": "val", "val": "val", "test": "test"}


class TensorFlowDatasets(Source):
    """`tfds:NAME[:SPLIT]`.

    Images are read from the disk when they are asked for: data in the format ArrayRecord by number,
    those in the usual TFRecord by offset, which takes one reading of all files, whose results are kept
    in the user's cache. Of other formats the encoded images of the split are held in memory. The data
    are prepared (and downloaded, where they are to be had) only if they are not in `data_dir`.
    With SPLIT, its images are treated like a folder without parts.
    """

    spelling = "tfds:NAME[:SPLIT]"

    def matches(self, spec):
        return isinstance(spec, str) and spec.startswith("tfds:")

    def open(self, spec, split, options):
        match = _SPEC.fullmatch(spec)
        if match is None:
            raise DataError(f"Cannot read '{spec}'. Expected 'tfds:NAME' or 'tfds:NAME:SPLIT'.")
        builder = _prepared(match["name"], options.data_dir)
        parts = _parts(spec, builder, match["split"])
        part, piece, note = choose_part(parts, split)
        image_key, label_key = _keys(spec, builder)
        label = None if label_key is None else builder.info.features[label_key]
        if options.labelled and (label is None or label.num_classes < 2):
            raise DataError(f"'{spec}' has no class labels or one class. Classification needs two.")
        read = _READERS.get(builder.info.file_format.value, _in_memory)
        info = _split(spec, builder, parts[part])
        encoded, labels = read(spec, builder, parts[part], info, image_key, label_key)
        strata = np.zeros(len(encoded), np.int64) if labels is None else labels
        index = piece_indices(piece, strata, options.val_fraction, options.seed)
        return ImageSource(
            spec,
            Chosen(encoded, index),
            labels=None if labels is None else labels[index],
            class_names=None if label is None else label.names,
            note=note,
            ids=Chosen(
                Lazy(len(encoded), f"{match['name']} {parts[part]} image {{}}".format), index
            ),
        )


def _prepared(name, data_dir):
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
        # Does nothing where the data are there already.
        builder.download_and_prepare()
    except Exception as error:  # whatever: an unknown name, no network, a full disk, manual data
        where = "the default folder of TFDS" if data_dir is None else f"'{data_dir}'"
        first_line = str(error).strip().split("\n")[0]
        raise DataError(
            f"TFDS data set '{name}' is not in {where} and could not be prepared there "
            f"({type(error).__name__}: {first_line}). Check the name; on a machine with network "
            f"access run `tfds build {name}`, and point data_dir at the folder it wrote."
        ) from error
    return builder


def _parts(spec, builder, wanted):
    """`{"train": TFDS split, ...}` for `choose_part`."""
    found = {_PARTS[name]: name for name in builder.info.splits if name in _PARTS}
    if wanted is not None:
        return {"train": wanted}
    if "train" not in found:
        raise DataError(
            f"'{spec}' has no 'train' split but {sorted(builder.info.splits)}. "
            f"Name the one you want: '{spec}:SPLIT'."
        )
    return found


def _keys(spec, builder):
    """The names of the image feature and of the class label (or None)."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features.items())
    images = [key for key, kind in features.items() if isinstance(kind, tfds.features.Image)]
    labels = [key for key, kind in features.items() if isinstance(kind, tfds.features.ClassLabel)]
    if not images:
        raise DataError(f"'{spec}' has no image feature. Its features: {sorted(features)}.")
    image = "image" if "image" in images else images[0]
    if "label" in labels:
        return image, "label"
    # Several labels without a chief one mean no single classification task.
    return image, labels[0] if len(labels) == 1 else None


def _split(spec, builder, name):
    """What TFDS knows of a split, or of a part of one, which holds some examples."""
    try:
        info = builder.info.splits[name]
        count = info.num_examples
    except (KeyError, ValueError) as error:
        raise DataError(
            f"'{spec}' has no split '{name}'. It has {sorted(builder.info.splits)}."
        ) from error
    if not count:
        raise DataError(f"Split '{name}' of '{spec}' is empty.")
    return info


def _dataset(builder, split, keys, **options):
    """The examples of a split with some features, images as they are encoded, in the order of TFDS."""
    import tensorflow_datasets as tfds

    features = {key: builder.info.features[key] for key in keys}
    encoded = [key for key, kind in features.items() if isinstance(kind, tfds.features.Image)]
    skipped = {key: tfds.decode.SkipDecoding() for key in encoded}
    decoders = tfds.decode.PartialDecoding(features, decoders=skipped)
    return builder.as_dataset(split=split, decoders=decoders, **options)


def _in_memory(spec, builder, split, info, image_key, label_key):
    import tensorflow_datasets as tfds

    _check_memory(spec, builder, split, info.num_examples)
    rows = list(tfds.as_numpy(_dataset(builder, split, {image_key, label_key} - {None})))
    labels = None if label_key is None else np.array([row[label_key] for row in rows], np.int64)
    return [row[image_key] for row in rows], labels


def _by_offset(spec, builder, split, info, image_key, label_key):
    """What `_in_memory` gives, in the same order; where images are is kept in the user's cache."""
    paths = [os.fspath(path) for path in info.filepaths]
    key = [1, "tfrecord", split, label_key, *identity(paths)]
    wanted = label_key or image_key
    found = kept_arrays("tfds", key, lambda: _places(builder, split, paths, wanted))
    examples = Examples(paths, found["files"], found["offsets"], found["sizes"], image_key)
    return examples, found["labels"] if label_key else None


def _places(builder, split, paths, key):
    """Of every example in the order of TFDS: file, offset, size, and label if `key` is one."""
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(add_tfds_id=True)
    dataset = _dataset(builder, split, {key}, read_config=config)
    # An id is a file's name and the number of the record in it: train.tfrecord-00000-of-00001__5
    dataset = dataset.map(
        lambda row: (row["tfds_id"], row[key] if row[key].dtype.is_integer else -1)
    )
    extents = [record_extents(path) for path in paths]
    numbers, parts = {}, []
    batches = tfds.as_numpy(dataset.batch(_AT_ONCE))
    for ids, labels in track(batches, len(dataset), "looking at records"):
        names, records = zip(*(name.decode().rsplit("__", 1) for name in ids), strict=True)
        for name in set(names) - set(numbers):
            numbers[name] = next(k for k, path in enumerate(paths) if path.endswith(name))
        files = np.array([numbers[name] for name in names], np.int32)
        places = [
            (extents[file][0][record], extents[file][1][record])
            for file, record in zip(files, map(int, records), strict=True)
        ]
        parts.append((files, *np.array(places, np.int64).T, labels.astype(np.int64)))
    columns = ("files", "offsets", "sizes", "labels")
    return dict(zip(columns, map(np.concatenate, zip(*parts, strict=True)), strict=True))


class Records(Sequence):
    """Encoded images of a TFDS data source, each read when it is asked for."""

    def __init__(self, source, key):
        self._source, self._key = source, key

    def __len__(self):
        return len(self._source)

    def __getitem__(self, i):
        try:
            return self._source[int(i)][self._key]
        except Exception as error:  # of the reader's own many kinds
            raise DataError(f"cannot be read: {' '.join(str(error).split())[:100]}") from error


def _by_number(spec, builder, split, info, image_key, label_key):
    """What `_in_memory` gives, without reading more than the labels; those are kept in the cache."""
    import tensorflow_datasets as tfds

    try:
        source = builder.as_data_source(split, decoders={image_key: tfds.decode.SkipDecoding()})
    except ImportError as error:
        raise DataError(
            f"'{spec}' is in the format ArrayRecord, which needs array_record: pip install "
            "'eesmm-keras[arrayrecord]'"
        ) from error
    labels = None
    if label_key is not None:
        key = [1, split, label_key, *identity(info.filepaths)]
        labels = kept_arrays("tfds", key, lambda: {"labels": _labels(source, label_key)})["labels"]
    return Records(source, image_key), labels


_READERS = {"array_record": _by_number, "tfrecord": _by_offset}


def _labels(source, key):
    found = np.empty(len(source), np.int64)
    pieces = range(0, len(source), _AT_ONCE)
    done = ((source.__getitems__(range(k, min(k + _AT_ONCE, len(source)))), k) for k in pieces)
    for rows, first in done:
        found[first : first + len(rows)] = [row[key] for row in rows]
    return found


def _check_memory(spec, builder, split, size):
    """Refuse what would fill the machine's memory, rather than be killed half way."""
    total = sum(part.num_examples for part in builder.info.splits.values())
    need = (builder.info.dataset_size or 0) * size / max(total, 1)
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if need > have / 2:
        raise DataError(
            f"Split '{split}' of '{spec}' takes about {need / 2**30:.1f} GiB of memory and this "
            f"machine has {have / 2**30:.1f}. Take a part of it ('{split}[:10%]'), or prepare it "
            "in the format ArrayRecord (file_format='array_record'), which is read from the disk."
        )

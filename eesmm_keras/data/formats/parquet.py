"""Parquet files with a column of encoded images, such as those of the Hugging Face hub."""

import glob
import json
import os
from collections.abc import Sequence

import numpy as np

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.file_format import need
from eesmm_keras.data.image_source import ImageSource
from eesmm_keras.data.kept import cache_folder, digest, identity, whole_file
from eesmm_keras.data.lazy import Lazy
from eesmm_keras.data.source import Source
from eesmm_keras.data.splits import choose_part, parts_of_files, piece_indices
from eesmm_keras.progress import track

_START = "parquet:"
_ROWS = 256
_VERSION = 1


class Parquet(Source):
    """`parquet:PLACE`: a folder of Parquet files, one file, or a pattern. It needs the extra `parquet`.

    The image column is the one called image or img, or else the first that can hold encoded files
    (bytes, or `{bytes, path}`); labels are the whole numbers in the column label, with the names that
    the file's Hugging Face features give. Parquet knows no single rows: the images are unpacked once
    into the user's cache folder, in constant memory, and read from there by offset. Files whose names
    begin with train, validation or test are those parts.
    """

    spelling = "parquet:FOLDER|FILE|PATTERN with a column of images"

    def matches(self, spec):
        return isinstance(spec, str) and spec.startswith(_START)

    def open(self, spec, split, options):
        need("pyarrow", "parquet", f"'{spec}' a Parquet data set")
        files = _files(spec)
        part, piece, note = choose_part(set(files), split)
        rows = Rows(spec, files[part])
        if options.labelled and (rows.class_names is None or len(rows.class_names) < 2):
            raise DataError(
                f"'{spec}' has no labels, or one class: expected whole numbers in a column 'label'."
            )
        strata = np.zeros(len(rows), np.int64) if rows.labels is None else rows.labels
        index = piece_indices(piece, strata, options.val_fraction, options.seed)
        whole = ImageSource(
            spec, rows, rows.labels, rows.class_names, note=note,
            ids=Lazy(len(rows), f"{part} row {{}}".format),
        )  # fmt: skip
        return whole.take(index)


class Rows(Sequence):
    """Encoded images by row, out of the cache.

    Args:
        spec: what the user called them. files: paths.
    """

    def __init__(self, spec, files):
        folder = cache_folder() / "parquet" / digest([_VERSION, *identity(files)])
        if not (folder / "about.json").is_file():
            _unpack(spec, files, folder)
        about = json.loads((folder / "about.json").read_text("utf-8"))
        self.class_names = about["class_names"] and tuple(about["class_names"])
        self._ends = np.load(folder / "ends.npy", allow_pickle=False)
        self.labels = None
        if self.class_names is not None:
            self.labels = np.load(folder / "labels.npy", allow_pickle=False)
        self._file = open(folder / "images.bin", "rb")  # noqa: SIM115

    def __len__(self):
        return len(self._ends)

    def __getitem__(self, i):
        start = int(self._ends[i - 1]) if i else 0
        size = int(self._ends[i]) - start
        if not size:
            raise DataError("is empty (zero bytes)")
        data = os.pread(self._file.fileno(), size, start)
        if len(data) < size:
            raise DataError("is cut short in the cache: remove its folder 'parquet'")
        return data


def _files(spec):
    """`{part: paths of its files, sorted}`."""
    place = spec[len(_START) :]
    pattern = os.path.join(glob.escape(place), "**", "*.parquet") if os.path.isdir(place) else place
    return parts_of_files(glob.glob(pattern, recursive=True), place, ".parquet files")


def _unpack(spec, files, folder):
    """Write images.bin, ends.npy, labels.npy and, last, about.json."""
    import pyarrow

    ends, labels, total = [], [], 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / "images.bin") as images:
            opened = [_open(spec, path) for path in files]
            rows = sum(file.metadata.num_rows for file, *_ in opened)
            for pieces, numbers in track(_rows(opened), rows, "unpacking images"):
                images.write(b"".join(pieces))
                for data in pieces:
                    total += len(data)
                    ends.append(total)
                labels += numbers
        np.save(folder / "ends.npy", np.array(ends, np.int64))
        names = _class_names(opened[0], labels)
        if names is not None:
            np.save(folder / "labels.npy", np.array(labels, np.int64))
        with whole_file(folder / "about.json") as about:
            about.write(json.dumps({"class_names": names, "spec": spec}).encode())
    except pyarrow.ArrowException as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"'{spec}' cannot be read as Parquet: {reason}") from error
    except OSError as error:
        raise DataError(
            f"'{spec}' cannot be unpacked into {folder}: {error.strerror}. EESMM_CACHE names another "
            "place for the cache."
        ) from error


def _open(spec, path):
    """`(ParquetFile, image column, label column or None, HF features)`."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    holds = [name for name in schema.names if _holds_images(schema.field(name).type)]
    images = [name for name in ("image", "img") if name in holds] or holds
    if not images:
        raise DataError(
            f"'{spec}' has no column of images: expected bytes, or bytes and path. Its columns: "
            f"{', '.join(schema.names)}."
        )
    about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = about.get("info", {}).get("features", {})
    return file, images[0], "label" if "label" in schema.names else None, features


def _holds_images(kind):
    from pyarrow import types

    if types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return types.is_binary(kind) or types.is_large_binary(kind)


def _rows(opened):
    for file, image, label, _ in opened:
        columns = [image] + [label] * (label is not None)
        for batch in file.iter_batches(_ROWS, columns=columns):
            values = batch.column(0).to_pylist()
            numbers = batch.column(1).to_pylist() if label else [None] * len(values)
            found = (v.get("bytes") if isinstance(v, dict) else v for v in values)
            yield [data or b"" for data in found], numbers


def _class_names(first, labels):
    """Names of the classes, or None where the labels are no class numbers."""
    whole = [type(label) is int and label >= 0 for label in labels]
    if not labels or not all(whole):
        return None
    names = first[3].get("label", {}).get("names")
    if isinstance(names, list) and len(names) > max(labels):
        return [str(name) for name in names]
    return [str(number) for number in range(max(labels) + 1)]

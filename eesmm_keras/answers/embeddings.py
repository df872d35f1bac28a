"""Files of `eesmm embed`, read again: one vector an image, to be compared by the cosine."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eesmm_keras.answers.matrix_files import check_format, read_names
from eesmm_keras.answers.work import ABOUT, TEXT, beside, read_about
from eesmm_keras.errors import UserError
from eesmm_keras.names import shortened

_ROWS_AT_ONCE = 65536


@dataclass
class Embeddings:
    """Vectors and their names.

    Attributes:
        path: of the file. names: list of str.
        vectors: float32 `(N, D)` of length 1: their products are cosines. Zero vectors stay zero.
        about: what OUT.about.json says; {} without one.
    """

    path: Path
    names: list
    vectors: np.ndarray
    about: dict

    def folder(self):
        """Where the images are, or were; None: it is not known, or they are no files."""
        place = (self.about.get("asked") or {}).get("images")
        return place if place and os.path.exists(place) else None

    def image_path(self, i):
        """Path of image `i`; None where it is no file that is there."""
        place = self.folder()
        if place is None:
            return None
        path = place if os.path.isfile(place) else os.path.join(place, self.names[i])
        return path if os.path.isfile(path) else None


def read_embeddings(path):
    """`Embeddings` of an `.npy`, `.csv` or `.parquet` that `eesmm embed` wrote.

    Raises:
        UserError: no such file, another kind of file, no vectors of one length, or not finite.
    """
    path = Path(path)
    suffix = check_format(path, "The embeddings")
    if not path.is_file():
        raise UserError(f"{path} does not exist. Expected a file that eesmm embed wrote.")
    try:
        names, matrix = {".npy": _npy, ".csv": _csv, ".parquet": _parquet}[suffix](path)
    except UserError:
        raise
    except Exception as error:  # parsers of damaged files raise nearly anything
        raise UserError(
            f"{path} cannot be read as embeddings: {shortened(error)}. Give a file of eesmm embed."
        ) from error
    if matrix.ndim != 2:
        raise UserError(
            f"{path} holds an array of shape {matrix.shape}. Expected one vector an image: eesmm embed "
            "with --features pooled or stages."
        )
    if len(names) != len(matrix) or not len(names):
        raise UserError(f"{path} holds {len(matrix)} vectors and {len(names)} names.")
    return Embeddings(path, names, unit_length(matrix, path), read_about(beside(path, ABOUT)) or {})


def unit_length(matrix, where):
    """float32 `(N, D)`: every row divided by its length."""
    vectors = np.empty(matrix.shape, np.float32)
    for first in range(0, len(matrix), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        block = np.asarray(matrix[rows], np.float32)
        lengths = np.linalg.norm(block, axis=1, keepdims=True)
        vectors[rows] = block / np.where(lengths > 0, lengths, 1)
        if not np.isfinite(vectors[rows]).all():
            raise UserError(f"{where} holds numbers that are not finite.")
    return vectors


def _npy(path):
    names = beside(path, "names.csv")
    if not names.is_file():
        raise UserError(f"{names} does not exist: the names of the rows of {path}.")
    return list(read_names(names)), np.load(path, mmap_mode="r", allow_pickle=False)


def _csv(path):
    names, rows = [], []
    with open(path, **TEXT) as file:
        lines = csv.reader(file)
        next(lines, None)
        for name, *row in lines:
            names.append(name)
            rows.append(np.array(row, np.float32))
    return names, np.stack(rows)


def _parquet(path):
    from pyarrow import parquet

    table = parquet.read_table(path)
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return table["file"].to_pylist(), flat.reshape(len(table), -1)

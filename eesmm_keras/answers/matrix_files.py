"""Arrays with one row per image, as files: they grow row by row, and are written in other formats."""

import csv
import os
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np

from eesmm_keras.answers.work import TEXT
from eesmm_keras.errors import UserError

_ROWS_AT_ONCE = 4096


class MatrixFile:
    """A `.npy` file that grows by rows. A context.

    Args:
        path: of the file; what it holds already is kept.
        shape: of a row. dtype: name of the numbers' type.
    """

    def __init__(self, path, shape, dtype):
        self.path, self.shape, self.dtype = Path(path), tuple(shape), np.dtype(dtype)
        self._header = len(self._header_for(0))
        self._row = int(np.prod(self.shape)) * self.dtype.itemsize

    def _header_for(self, rows):
        # NumPy leaves room for the number of rows to grow.
        text = BytesIO()
        facts = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(text, {**facts, "shape": (rows, *self.shape)})
        return text.getvalue()

    def __enter__(self):
        self.path.touch()
        self._file = open(self.path, "r+b")
        return self

    def __exit__(self, *error):
        self._file.close()

    def rows(self):
        """Whole rows that it holds."""
        return max(self.path.stat().st_size - self._header, 0) // self._row

    def keep(self, rows):
        """Cut off what stands behind the first `rows` rows."""
        self._file.seek(0)
        self._file.write(self._header_for(rows))
        self._file.truncate(self._header + rows * self._row)
        self._file.flush()

    def add(self, array):
        """Append rows `(n, *shape)`, and give them to the system."""
        self._file.seek(0, os.SEEK_END)
        self._file.write(np.ascontiguousarray(array, self.dtype).tobytes())
        self._file.flush()


def check_format(out, what="--out"):
    """The ending of an embedding's path, in lower case.

    Args:
        what: what the message calls it.

    Raises:
        UserError: an unknown one, or a library is missing for it.
    """
    suffix = Path(out).suffix.lower()
    if suffix not in (".npy", *_WRITERS):
        raise UserError(f"{what} must end in .npy, .parquet or .csv, got {out}.")
    if suffix == ".parquet":
        _pyarrow()
    return suffix


def read_names(path):
    """Names of the images of a CSV that has them in its first column, one by one."""
    with open(path, **TEXT) as file:
        yield from (row[0] for row in islice(csv.reader(file), 1, None))


def write_as(suffix, path, matrix, names):
    """Write a matrix as `.csv` or `.parquet`.

    Args:
        suffix: of `check_format`. path: of the file to write.
        matrix: `(N, ...)`, rows are read when they are written.
        names: iterable of str, one per row.
    """
    _WRITERS[suffix](path, matrix, iter(names))


def _blocks(matrix, names):
    for first in range(0, len(matrix), _ROWS_AT_ONCE):
        block = matrix[first : first + _ROWS_AT_ONCE]
        yield list(islice(names, len(block))), np.asarray(block).reshape(len(block), -1)


def _write_csv(path, matrix, names):
    with open(path, "w", **TEXT) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", *(f"f{k}" for k in range(int(np.prod(matrix.shape[1:]))))])
        for some, block in _blocks(matrix, names):
            # As text: the shortest one that stands for the same number.
            cells = block.astype(str).tolist()
            writer.writerows([name, *row] for name, row in zip(some, cells, strict=True))


def _write_parquet(path, matrix, names):
    """Columns `file` and `embedding`, a list of fixed length; Parquet's text is UTF-8."""
    pa, parquet = _pyarrow()
    kind = pa.from_numpy_dtype(matrix.dtype)
    width = int(np.prod(matrix.shape[1:]))
    schema = pa.schema([("file", pa.string()), ("embedding", pa.list_(kind, width))])
    shape = ",".join(map(str, matrix.shape[1:]))
    with parquet.ParquetWriter(path, schema.with_metadata({"shape": shape})) as writer:
        for some, block in _blocks(matrix, names):
            texts = [os.fsencode(name).decode("utf-8", "backslashreplace") for name in some]
            lists = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel(), kind), width)
            writer.write_table(pa.table([pa.array(texts), lists], schema=writer.schema))


def _pyarrow():
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            "Parquet files need pyarrow: pip install 'eesmm-keras[parquet]'. Or choose a file "
            "that ends in .npy or .csv."
        ) from None
    return pyarrow, parquet


_WRITERS = {".csv": _write_csv, ".parquet": _write_parquet}

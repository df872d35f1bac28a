"""`eesmm embed`: what an encoder says about any number of images, as numbers."""

import os

import numpy as np

from eesmm_keras.answers.asking import Answer, Question, check_out
from eesmm_keras.answers.matrix_files import MatrixFile, check_format, read_names, write_as
from eesmm_keras.answers.models import open_model
from eesmm_keras.answers.work import ROWS, Work, beside
from eesmm_keras.errors import UserError

FEATURES = ("pooled", "stages", "patches")
PRECISIONS = ("float32", "float16")
_MATRIX, _FINAL = "matrix.bin", "final"


def embed(weights, images, out, features="pooled", precision="float32", batch_size=64,
          overwrite=False, say=None, **how):  # fmt: skip
    """Write features of images, in the order of their names, and the names.

    OUT.npy: the array, with the names in OUT.npy.names.csv. OUT.csv and OUT.parquet hold the names too,
    in the column `file`. It goes on where an earlier call was stopped (see `answers.work`).

    Args:
        weights: see `models.open_model`.
        images: a folder, a file or a data set, see `data.stream.open_files`.
        out: path that ends in .npy, .parquet or .csv.
        features: "pooled", one vector an image `(N, C)`; "stages", the means of every level of the
            pyramid behind each other `(N, C2 + C3 + ...)`; "patches", the last feature map
            `(N, rows, cols, C)`.
        precision: "float32" or "float16".
        batch_size, overwrite, say, how: see `predicting.predict`. The vector of an image is the mean of
            its tiles'; "patches" are those of whole images only.

    Returns:
        `Answer`.

    Raises:
        UserError: another ending, no encoder, no images, patches of tiles, or `out` is something else.
    """
    check_out(out, "embeddings.npy")
    suffix = check_format(out)
    question = Question("embed", weights, images, batch_size, **how)
    if features == "patches" and question.sliding is not None:
        raise UserError(
            "Patches of tiles cannot be put together: with --tile, take --features pooled or stages."
        )
    asked = {**question.facts, "features": features, "precision": precision}
    files = {_FINAL: out} if suffix != ".npy" else {_MATRIX: out, ROWS: beside(out, "names.csv")}
    at_once = question.rows_at_once
    work = Work(out, asked, ["file"], question.names, at_once, files, overwrite)
    if work.is_finished():
        return Answer.before(work, question.source)
    model = open_model(weights, say)
    blank = np.zeros((batch_size, *model.image_shape), np.uint8)
    parts, shape = _vectors(model, blank, features)[1:]
    with work:
        matrix = MatrixFile(work.folder / _MATRIX, shape, precision)
        _fill(work, question, model, matrix, features)
        if suffix != ".npy":
            matrix = np.load(work.folder / _MATRIX, mmap_mode="r")
            write_as(suffix, work.folder / _FINAL, matrix, read_names(work.folder / ROWS))
        place = os.path.realpath(weights) if os.path.exists(weights) else str(weights)
        work.finish(shape=[work.rows, *shape], parts=parts, weights=place)
    return Answer.of(work, question.source)


def _fill(work, question, model, matrix, features):
    """Ask the model about all images that are left."""

    def ask(images):
        return _vectors(model, images, features)[0]

    with matrix:
        if matrix.rows() < work.rows:  # the disk forgot some, in a power cut
            work.cut(matrix.rows())
        matrix.keep(work.rows)
        size = model.image_shape[:2]
        for batch, vectors in question.answers(work, ask, size, "embedding"):
            if len(vectors):
                # Before their names: a name stands for a row.
                matrix.add(_cast(vectors, matrix.dtype))
            work.add(batch, [()] * len(batch.good))
        matrix.keep(work.rows)


def _vectors(model, images, features):
    """`(array (B, ...), {part of a row: [first, end]}, shape of a row)`."""
    found = model.features(images)[features]
    parts = {}
    if isinstance(found, dict):
        ends = np.cumsum([0, *(level.shape[1] for level in found.values())]).tolist()
        parts = {name: ends[k : k + 2] for k, name in enumerate(found)}
        found = np.concatenate(list(found.values()), axis=1)
    return found, parts, found.shape[1:]


def _cast(vectors, dtype):
    with np.errstate(over="ignore"):
        cast = vectors.astype(dtype)
    if not np.isfinite(cast).all():
        raise UserError(f"Features up to {np.abs(vectors).max():.3g} do not fit into {dtype}.")
    return cast

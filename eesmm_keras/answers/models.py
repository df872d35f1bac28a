"""What answers questions about images: a model of this package, public weights or an ONNX file."""

import os
from functools import lru_cache
from pathlib import Path

from eesmm_keras.converters.source import is_foreign
from eesmm_keras.errors import UserError
from eesmm_keras.training.inputs import asked_reading, start_of
from eesmm_keras.training.runs import find_model_file


def open_model(where, say=None):
    """`KerasModel` or `OnnxFile` of what a user gave as --weights.

    Args:
        where: a run, a `.keras` file, public weights or a file of `eesmm export --format onnx`.
        say: takes the report of public weights; None: nobody reads it.

    Raises:
        UserError: nothing there, or not readable.
    """
    if _is_onnx(where):
        if not Path(where).is_file():
            raise UserError(f"{where} does not exist. Give an ONNX file, a run or a .keras file.")
        return _onnx_file(str(where), identity(where))
    from eesmm_keras.answers.keras_model import KerasModel

    return KerasModel(where, say)


@lru_cache(maxsize=1)  # it is asked how images are read, and later what they show
def _onnx_file(where, state):
    from eesmm_keras.answers.onnx_file import OnnxFile

    return OnnxFile(where)


def reading_for(where):
    """`Reading` of the images that weights were trained on, before they are loaded.

    Raises:
        UserError: nothing there, or not readable.
    """
    if _is_onnx(where):
        return open_model(where).reading
    return asked_reading(None, start_of(where))


def identity(where):
    """What tells these weights from others: path, size and time of change of their file.

    Raises:
        UserError: nothing there, or a run that has not finished.
    """
    if is_foreign(where):
        return str(where)
    path = Path(where) if _is_onnx(where) else find_model_file(where)
    try:
        status = os.stat(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    return f"{path.resolve()}, {status.st_size} bytes, {status.st_mtime_ns}"


def _is_onnx(where):
    return Path(where).suffix.lower() == ".onnx"

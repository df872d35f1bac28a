"""Loading of files that this package wrote; nothing in them is believed before it was checked."""

import importlib
import json
import tempfile
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

from eesmm_keras import backbones, methods
from eesmm_keras.tasks import TASKS

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MAX_CONFIG = 2**24  # bytes
# Beside a weight, a file may hold two moments, an average and a sum of gradients; and what HDF5 needs
# for each of them.
_COPIES, _OVERHEAD = 5, 2**14
_PIECE = 2**22


def load_model(path, custom_objects=None, compile=True, safe_mode=True):
    """Load a `.keras` file with any public model of this package.

    `keras.saving.load_model` does the same once the model's class has been imported; but here the
    weights must not be larger than those of the model that the file's configuration describes: a small
    file cannot fill the memory or the disk.

    Args:
        path: a `.keras` file.
        custom_objects: as in `keras.saving.load_model`.
        compile: as in `keras.saving.load_model`.
        safe_mode: as in `keras.saving.load_model`.

    Raises:
        ValueError: no such file, or what it holds is no model, or not its weights. Other exceptions of
            the parsers of a damaged file are passed on.
    """
    _register_classes()
    if not Path(path).is_file():
        raise ValueError(f"{path} is not there, or no file")
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{path} is no .keras file, or cut short: these are zip archives."
        ) from error
    with archive:
        config = _read_config(archive)
        if not compile:
            config["compile_config"] = None
        model = keras.saving.deserialize_keras_object(
            config, custom_objects=custom_objects, safe_mode=safe_mode
        )
        if not isinstance(model, keras.Model):
            raise ValueError(f"it holds no model but a {type(model).__name__}")
        _load_weights(archive, model)
    return model


def encoder_config(path):
    """Constructor arguments of the encoder in a `.keras` file, without building anything; or None.

    None too where the file cannot be read: `load_model` tells why.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _encoder_in(_read_config(archive))
    except (OSError, ValueError, KeyError, RecursionError, zipfile.BadZipFile):
        return None


def _encoder_in(node):
    if isinstance(node, list):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return None
    if isinstance(node.get("image_shape"), list | tuple) and len(node["image_shape"]) == 3:
        return node
    found = (_encoder_in(part) for part in node.values())
    return next((config for config in found if config), None)


def _register_classes():
    # Importing the modules registers their classes.
    importlib.import_module("eesmm_keras.training.optimizer")
    backbones.encoders()
    for family in (methods, TASKS):
        for name in family.names():
            family.get(name)


def _read_config(archive):
    if archive.getinfo(_CONFIG).file_size > _MAX_CONFIG:
        raise ValueError(f"its configuration has more than {_MAX_CONFIG} bytes")
    config = json.loads(archive.read(_CONFIG))
    if not isinstance(config, dict):
        raise ValueError("its configuration is no mapping")
    return config


def _load_weights(archive, model):
    size, largest = archive.getinfo(_WEIGHTS).file_size, largest_weights(model)
    if size > largest:
        raise ValueError(
            f"its weights take {size} bytes, and those of the model that it describes at most {largest}"
        )
    with tempfile.TemporaryDirectory(prefix="eesmm-weights-") as folder:
        path = Path(folder, _WEIGHTS)
        with archive.open(_WEIGHTS) as packed, open(path, "wb") as unpacked:
            while piece := packed.read(_PIECE):
                unpacked.write(piece)
        _check_datasets(path, largest)
        model.load_weights(path)


def largest_weights(model):
    """Bytes that a file with this model's weights and its optimizer's state may take at most."""
    variables = model.variables
    numbers = sum(int(np.prod(variable.shape)) for variable in variables)
    return _COPIES * (4 * numbers + _OVERHEAD * (len(variables) + 1)) + 2**20


def _check_datasets(path, largest):
    """Refuse arrays that are small in the file (compressed, or never written) and large in memory."""
    declared = 0

    def add(name, item):
        nonlocal declared
        if isinstance(item, h5py.Dataset):
            declared += item.size * item.dtype.itemsize

    with h5py.File(path, "r") as file:
        file.visititems(add)
    if declared > largest:
        raise ValueError(
            f"its arrays would take {declared} bytes, and those of the model that it describes at most "
            f"{largest}"
        )

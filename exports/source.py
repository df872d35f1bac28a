"""From a `.keras` file to float32 models ready to be traced."""

import contextlib
from pathlib import Path

import keras
import numpy as np

from eesmm_keras.data.reading import Reading
from eesmm_keras.exports.errors import ExportError
from eesmm_keras.names import shortened
from eesmm_keras.saving import load_model

_LOW_PRECISION = {"mixed_bfloat16", "mixed_float16", "bfloat16", "float16"}


def load_source(path):
    """The Keras model in the file `path`, uncompiled.

    Raises:
        ExportError: no such file, or Keras cannot load it.
    """
    path = Path(path)
    if path.suffix != ".keras" or not path.is_file():
        raise ExportError(f"Expected an existing `.keras` file as the source, received: {path}")
    try:
        return load_model(path, compile=False)
    except Exception as error:  # Keras raises many types here, all meaning the same to the user.
        raise ExportError(f"Keras cannot load {path}: {shortened(error, 400)}") from error


def backbone_of(model):
    """The backbone inside a classifier or a pre-training model, or the backbone itself.

    Raises:
        ExportError: `model` is neither.
    """
    backbone = getattr(model, "backbone", model)
    if not hasattr(backbone, "feature_extractor"):
        raise ExportError(
            "Expected a backbone or a model of this package that has one, "
            f"received: {type(model).__name__}"
        )
    return backbone


def takes_floats(backbone):
    """Whether the model was trained on pixels that are no whole numbers of 8 bits."""
    return Reading.of(backbone.reading).native


def normalise(images, backbone):
    """Pixels 0..255 `(..., C)` -> float32 `(x / 255 - mean) / std`, in NumPy.

    Written apart from the layers of the model on purpose: the parity check leans on it.
    """
    mean, std = np.float32(backbone.mean), np.float32(backbone.std)
    return (np.asarray(images, "float32") / 255.0 - mean) / std


def as_float32(model, include_normalization=None):
    """A copy of `model` that computes in float32, with the same weights.

    A model trained under `mixed_bfloat16` keeps casts in its layers, which export would freeze into
    the file. So the copy is made from the configuration with every low-precision policy replaced.

    Args:
        model: a built Keras model.
        include_normalization: when given, whether the copy normalises its own pixels; otherwise
            as in `model`. The weights do not depend on it.
    """
    config = _rewrite(keras.saving.serialize_keras_object(model), include_normalization)
    with _global_policy("float32"):
        copy = keras.saving.deserialize_keras_object(config)
        if not copy.built:
            copy(np.zeros((1, *backbone_of(model).image_shape), "float32"), training=False)
    copy.set_weights(model.get_weights())
    return copy


def _rewrite(node, include_normalization):
    """The serialised `node` with float32 policies, no optimizer, and normalisation as asked."""
    if isinstance(node, list | tuple):
        return type(node)(_rewrite(item, include_normalization) for item in node)
    if not isinstance(node, dict):
        return node
    if node.get("class_name") == "DTypePolicy":
        return {**node, "config": {**node["config"], "name": "float32"}}
    result = {}
    for key, value in node.items():
        if key == "compile_config":
            continue
        if key == "dtype" and isinstance(value, str) and value in _LOW_PRECISION:
            value = "float32"
        elif key == "include_normalization" and include_normalization is not None:
            value = include_normalization
        result[key] = _rewrite(value, include_normalization)
    return result


@contextlib.contextmanager
def _global_policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)

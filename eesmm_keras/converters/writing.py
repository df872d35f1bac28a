"""A model's arrays under the names of another library, by the same layout that reads them."""

import re

import keras
import numpy as np

from eesmm_keras.converters import CONVERTERS
from eesmm_keras.converters.importing import outside_variables
from eesmm_keras.converters.reading import Tensor
from eesmm_keras.converters.recognition import names_of_layout
from eesmm_keras.converters.source import Source
from eesmm_keras.errors import UserError
from eesmm_keras.layers.fixed_positions import FixedPositions


def find_layout(library, model):
    """The layout of a library that a model can be written in.

    Args:
        library: its name, see `Converter.library`.
        model: an encoder, or an `ImageClassifier` on one.

    Returns:
        `(Converter, name of the library's model)`.

    Raises:
        UserError: there is none.
    """
    encoder, pooling = getattr(model, "backbone", model), getattr(model, "pooling", None)
    if encoder is not model and pooling is None:
        raise UserError(
            f"{library} takes encoders and image classifiers, and this is a {type(model).__name__}. "
            "--features exports its encoder; onnx and savedmodel take any task."
        )
    for name in CONVERTERS.names():
        converter = CONVERTERS.get(name)()
        _, _, theirs = converter.encoder.partition(":")
        if converter.library == library and theirs == type(encoder).__name__:
            found = converter.model_class(encoder, pooling)
            if found:
                return converter, found
    token = ("without", "with")[bool(encoder.num_prefix_tokens)] + " a class token"
    head = f" and a head on {'their mean' if pooling == 'mean' else 'that token'}" * bool(pooling)
    raise UserError(
        f"{library} has no model that is a {type(encoder).__name__} {token}{head}. The formats onnx "
        "and savedmodel take it."
    )


def foreign_arrays(converter, model, shapes):
    """Arrays of a model for the library's own model of the same sizes.

    Args:
        converter: `Converter`. model: an encoder, or a classifier around one.
        shapes: {name: shape} of the library's model, in any spelling that the converter reads.

    Returns:
        {name: float32 array}. Names that the converter ignores, buffers, are left out.

    Raises:
        UserError: an array of ours has no place there, or one of theirs is left without a value.
    """
    tensors = {name: Tensor(shape, None) for name, shape in shapes.items()}
    names = names_of_layout(converter, Source(converter.title, {"": tensors}), "")
    if names is None:
        raise UserError(f"The library's own model is not laid out as {converter.title} here.")
    found = {}
    for path, array in _arrays(model):
        theirs = converter.theirs(path)
        if not theirs or any(name not in names for name in theirs):
            raise UserError(f"{converter.title} has no place for {path}: it cannot be written.")
        parts = converter.parts(path, array, [names[name][1].shape for name in theirs])
        found.update({names[name][0]: part for name, part in zip(theirs, parts, strict=True)})
    for name, (raw, tensor) in names.items():
        if raw not in found and not re.search(converter.ignored, name):
            found[raw] = _neutral(converter, name, tensor.shape)
    return {name: np.ascontiguousarray(array, "float32") for name, array in found.items()}


def _arrays(model):
    """`[(path, array)]` of all that a model has learned, and of positions that it computes."""
    encoder = getattr(model, "backbone", model)
    variables = [*((v.path, v) for v in encoder.weights), *outside_variables(model)]
    arrays = [(path, keras.ops.convert_to_numpy(variable.value)) for path, variable in variables]
    fixed = getattr(encoder, "absolute_positions", None)
    if isinstance(fixed, FixedPositions):
        arrays.append(("positions/table", fixed.table))
    return arrays


def _neutral(converter, name, shape):
    for pattern, number in converter.neutral.items():
        if re.search(pattern, name):
            return np.full(shape, number, "float32")
    raise UserError(f"{converter.title} needs {name}, for which this model has no values.")

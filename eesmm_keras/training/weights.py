"""Encoders out of files, and weights from one encoder into another."""

import keras

from eesmm_keras.errors import UserError
from eesmm_keras.saving import load_model
from eesmm_keras.training.runs import find_model_file


def load_checked(where):
    """Model of a finished run or a `.keras` file.

    Raises:
        UserError: nothing there, not finished, or not readable as a model of this package.
    """
    path = find_model_file(where)
    try:
        return load_model(path, compile=False)
    except Exception as error:
        raise UserError(f"{path} cannot be read as a Keras model: {error}") from error


def load_backbone(where):
    """Encoder of a pre-training model, a classifier or a backbone file; see `load_checked`."""
    model = load_checked(where)
    backbone = getattr(model, "backbone", model)
    if not hasattr(backbone, "depth_of"):
        raise UserError(f"{where} holds no encoder of this package, but a {type(model).__name__}.")
    return backbone


def copy_weights(source, target, where):
    """Copy an encoder's weights into another of the same architecture.

    Args:
        source, target: encoders.
        where: name of the source, for the message.

    Raises:
        UserError: another architecture; the message names the first difference.
    """
    have = {variable.path: variable for variable in source.weights}
    want = {variable.path: variable for variable in target.weights}
    for path in sorted(have.keys() | want.keys()):
        mine, theirs = (
            tuple(side[path].shape) if path in side else "no such weight" for side in (want, have)
        )
        if mine != theirs:
            raise UserError(
                f"The weights in {where} are of another architecture: {path} is {theirs} there and "
                f"{mine} here. Choose the --backbone and --image-size that they were trained with."
            )
    for path, variable in want.items():
        variable.assign(keras.ops.convert_to_numpy(have[path].value))

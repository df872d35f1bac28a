"""Encoders, by preset name."""

import inspect

from eesmm_keras.backbones.presets import PRESETS, SWIN_PRESETS
from eesmm_keras.errors import UserError
from eesmm_keras.names import split_arguments, unknown_name


def preset_arguments(text):
    """Class and constructor arguments that a name stands for.

    Args:
        text: name of a preset, with other arguments for its constructor behind it if need be:
            "swin_base", "swin_base:window_size=14:depths=[2, 2, 6, 2]" (values in YAML).

    Returns:
        `(class, dict)`; the dict always has `image_shape`.

    Raises:
        UserError: an unknown name or argument; the message lists the known ones.
    """
    name, changes = split_arguments(text)
    if name not in PRESETS:
        raise UserError(unknown_name("backbone", name, PRESETS))
    if name in SWIN_PRESETS:
        from eesmm_keras.backbones.swin import SwinBackbone as cls
    else:
        from eesmm_keras.backbones.vit import ViTBackbone as cls
    known = {key: p.default for key, p in inspect.signature(cls).parameters.items()}
    for key in changes:
        if key not in known or key == "kwargs":
            raise UserError(unknown_name(f"argument of {name}", key, set(known) - {"kwargs"}))
    return cls, {"image_shape": known["image_shape"], **PRESETS[name], **changes}


def from_preset(name, **kwargs):
    """Backbone of any family by name, see `preset_arguments`; `kwargs` override its arguments.

    Raises:
        ValueError: an unknown name or argument, or values that do not fit.
    """
    cls, arguments = preset_arguments(name)
    return cls(**{**arguments, **kwargs})

"""Encoders, by preset name. An encoder is a module of this package, found by its file name.

The module `NAME.py` (here, or in a folder or package of plug-ins, see `registry`) defines one public
subclass of `Backbone` with its `presets`; there is no list to edit.
"""

import inspect

from eesmm_keras.backbones.presets import PRESETS
from eesmm_keras.errors import UserError
from eesmm_keras.names import check_arguments, split_arguments, unknown_name
from eesmm_keras.registry import Family

FAMILY = Family(
    "backbones",
    "encoder",
    __name__,
    contract="eesmm_keras.backbones.backbone:Backbone",
    shared=("backbone", "constants", "presets"),
)


def encoders():
    """Classes of all encoders, plug-ins too."""
    return [FAMILY.get(name) for name in FAMILY.names()]


def all_presets():
    """All presets, sorted: dict from a name to `(class, constructor arguments)`."""
    found = {}
    for cls in reversed(encoders()):
        found.update({name: (cls, arguments) for name, arguments in cls.presets.items()})
    return dict(sorted(found.items()))


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
    presets = all_presets()
    if name not in presets:
        raise UserError(unknown_name("backbone", name, presets))
    cls, arguments = presets[name]
    known = {key: p.default for key, p in inspect.signature(cls).parameters.items()}
    check_arguments(name, changes, set(known) - {"kwargs"})
    return cls, {"image_shape": known["image_shape"], **arguments, **changes}


def check_name(text):
    """Raise the UserError of `preset_arguments`, as far as no encoder need be imported for it: of
    plug-ins, neither presets nor arguments are known."""
    name, changes = split_arguments(text)
    encoder = {preset: encoder for encoder, presets in PRESETS.items() for preset in presets}
    if name in encoder:
        outline = FAMILY.outline(encoder[name])
        if outline is not None:
            check_arguments(name, changes, set(outline.arguments) - {"self"})
    elif PRESETS.keys() >= set(FAMILY.names()):
        raise UserError(unknown_name("backbone", name, encoder))


def from_preset(name, **kwargs):
    """Backbone of any family by name, see `preset_arguments`; `kwargs` override its arguments.

    Raises:
        ValueError: an unknown name or argument, or values that do not fit.
    """
    cls, arguments = preset_arguments(name)
    return cls(**{**arguments, **kwargs})

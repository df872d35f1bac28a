"""Encoders, by preset name."""

from eesmm_keras.backbones.presets import PRESETS, SWIN_PRESETS
from eesmm_keras.names import unknown_name


def from_preset(name, **kwargs):
    """Backbone of any family by the name of its preset; `kwargs` override its arguments.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
    """
    if name not in PRESETS:
        raise ValueError(unknown_name("backbone", name, PRESETS))
    if name in SWIN_PRESETS:
        from eesmm_keras.backbones.swin import SwinBackbone as cls
    else:
        from eesmm_keras.backbones.vit import ViTBackbone as cls
    return cls.from_preset(name, **kwargs)

"""Masked image modelling in Keras 3.

The public names below are imported on first use, so that `import eesmm_keras` (and `eesmm --help`)
does not pay for Keras and its backend.
"""

import importlib

from eesmm_keras._version import __version__

_PUBLIC = {
    "ConViTBackbone": "eesmm_keras.backbones.convit",
    "ContrastiveMIM": "eesmm_keras.methods.contrastive",
    "DMJD": "eesmm_keras.methods.dmjd",
    "Detector": "eesmm_keras.tasks.detection",
    "EESMM": "eesmm_keras.methods.eesmm",
    "GreenMIM": "eesmm_keras.methods.greenmim",
    "ImageClassifier": "eesmm_keras.tasks.image_classifier",
    "LayerDecayAdamW": "eesmm_keras.training.optimizer",
    "MAE": "eesmm_keras.methods.mae",
    "MaskedImageModel": "eesmm_keras.methods.method",
    "MixMIM": "eesmm_keras.methods.mixmim",
    "Segmenter": "eesmm_keras.tasks.segmentation",
    "SimMIM": "eesmm_keras.methods.simmim",
    "SwinBackbone": "eesmm_keras.backbones.swin",
    "TwinsBackbone": "eesmm_keras.backbones.twins",
    "ViTBackbone": "eesmm_keras.backbones.vit",
    "add_lora": "eesmm_keras.partial_training",
    "export_model": "eesmm_keras.exports",
    "freeze_stages": "eesmm_keras.partial_training",
    "load_model": "eesmm_keras.saving",
    "load_weights_from": "eesmm_keras.training.weights",
    "plain_copy": "eesmm_keras.partial_training",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name):
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'eesmm_keras' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)

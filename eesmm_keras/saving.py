"""Loading of files that this package wrote."""

import importlib

import keras

from eesmm_keras import backbones, methods


def load_model(path, **kwargs):
    """Load a `.keras` file with any public model of this package.

    `keras.models.load_model` does the same once the model's class has been imported.

    Args:
        path: a `.keras` file.
        **kwargs: for `keras.saving.load_model`.
    """
    # Importing the modules registers their classes.
    importlib.import_module("eesmm_keras.training.optimizer")
    importlib.import_module("eesmm_keras.tasks.image_classifier")
    backbones.encoders()
    for name in methods.names():
        methods.get(name)
    return keras.saving.load_model(path, **kwargs)

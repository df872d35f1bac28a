"""Loading of files that this package wrote."""

import keras


def load_model(path, **kwargs):
    """Load a `.keras` file with any public model of this package.

    `keras.models.load_model` does the same once the model's class has been imported.

    Args:
        path: a `.keras` file.
        **kwargs: for `keras.saving.load_model`.
    """
    # Importing the modules registers their classes.
    from eesmm_keras import methods

    for name in methods.names():
        methods.get(name)
    return keras.saving.load_model(path, **kwargs)

"""Pre-training methods. A method is a module of this package, found by its file name.

The module `NAME.py` (here, or in a folder or package of plug-ins, see `registry`) defines one public
subclass of `MaskedImageModel`; there is no list to edit.
"""

from eesmm_keras.registry import Family

FAMILY = Family(
    "methods",
    "method",
    __name__,
    contract="eesmm_keras.methods.method:MaskedImageModel",
    shared=("hidden_features", "hidden_pixels", "method", "mixed_pixels"),
)


def names():
    """Names of all methods, without importing any."""
    return FAMILY.names()


def get(name):
    """Class of a method.

    Raises:
        UserError: an unknown name; the message lists the known ones.
    """
    return FAMILY.get(name)

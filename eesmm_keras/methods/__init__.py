"""Pre-training methods. A method is a module of this package, found by its file name.

The module `NAME.py` defines one public subclass of `MaskedImageModel`; `get("NAME")` imports it on
demand. There is no registry to edit.
"""

import importlib
import pkgutil

from eesmm_keras.names import unknown_name


def names():
    """Names of all methods, without importing any."""
    return sorted(
        module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    )


def get(name):
    """Class of a method.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
    """
    if name not in names():
        raise ValueError(unknown_name("method", name, names()))
    from eesmm_keras.methods._base import MaskedImageModel

    module = importlib.import_module(f"{__name__}.{name}")
    for value in vars(module).values():
        if (
            isinstance(value, type)
            and issubclass(value, MaskedImageModel)
            and value.__module__ == module.__name__
        ):
            return value
    raise ImportError(f"{module.__name__} defines no subclass of MaskedImageModel.")

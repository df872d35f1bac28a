"""Pre-training methods. A method is a module of this package, found by its file name.

The module `NAME.py` (here, or in a folder or package of plug-ins, see `registry`) defines one public
subclass of `MaskedImageModel`; there is no list to edit.
"""

from eesmm_keras.errors import UserError
from eesmm_keras.names import split_arguments, unknown_name
from eesmm_keras.registry import Family

FAMILY = Family(
    "methods",
    "method",
    __name__,
    contract="eesmm_keras.methods.method:MaskedImageModel",
    shared=("hidden_features", "hidden_pixels", "method", "mixed_pixels"),
)
# Arguments of their constructors that are no settings of a method.
NO_SETTINGS = frozenset(("self", "backbone", "seed", "kwargs"))


def names():
    """Names of all methods, without importing any."""
    return FAMILY.names()


def settings_of(name):
    """Names of a method's own settings, a set, without importing it; None of a plug-in: not known.

    Raises:
        UserError: an unknown name.
    """
    FAMILY.check(name)
    outline = FAMILY.outline(name)
    return outline and set(outline.arguments) - NO_SETTINGS


def check_text(text):
    """Raise a UserError unless `eesmm:num_mixed=3` is a method with settings that it has; see
    `settings_of`."""
    name, arguments = split_arguments(text)
    known = settings_of(name)
    for key in arguments:
        if known is not None and key not in known:
            raise UserError(unknown_name(f"argument of {name}", key, known))


def get(name):
    """Class of a method.

    Raises:
        UserError: an unknown name; the message lists the known ones.
    """
    return FAMILY.get(name)

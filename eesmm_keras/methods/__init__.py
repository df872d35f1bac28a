"""Pre-training methods. A method is a module of this package, found by its file name.

The module `NAME.py` (here, or in a folder or package of plug-ins, see `registry`) defines one public
subclass of `MaskedImageModel`; there is no list to edit.
"""

from eesmm_keras.names import check_arguments, split_arguments
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


def argument_names(name):
    """Names of a method's own arguments, a set, without importing it; None of a plug-in: not known.

    Raises:
        UserError: an unknown name.
    """
    FAMILY.check(name)
    outline = FAMILY.outline(name)
    return outline and set(outline.arguments) - NO_SETTINGS


def check_name(text):
    """Raise a UserError unless `eesmm:num_mixed=3` is a method with arguments that it has, as far as
    that is known; see `argument_names`."""
    name, arguments = split_arguments(text)
    known = argument_names(name)
    if known is not None:
        check_arguments(name, arguments, known)


def get(name):
    """Class of a method.

    Raises:
        UserError: an unknown name; the message lists the known ones.
    """
    return FAMILY.get(name)

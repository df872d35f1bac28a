"""Names, values and YAML as a user writes them, and the one line that says what is wrong with them."""

import contextlib
import difflib
import reprlib

import yaml

from eesmm_keras.errors import UserError

# Of Keras, that this package runs on.
BACKENDS = ("tensorflow", "jax", "torch")
# Longer lists of known names are cut to the nearest ones.
_LONGEST_LIST, _NEAREST = 400, 8
# A few bytes of YAML can stand for a value of gigabytes: values in it, each alias counted anew.
_MOST_VALUES = 100_000


def shortened(value, length=200):
    """A value or an exception as one short line; an exception without text by its type."""
    if isinstance(value, BaseException):
        text = str(value) or type(value).__name__
    else:
        # A few bytes of YAML can mean a value of gigabytes.
        text = repr(value[:length]) if isinstance(value, str) else reprlib.repr(value)
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 4]} ..."


def counted(number, noun):
    """`1 group`, `2 groups`, `3 classes`: a number of things, whose plural ends in s or es."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{ending * (number != 1)}"


def unknown_name(kind, name, known):
    """`Unknown backbone 'swin_tinny'. Did you mean 'swin_tiny'? Known: ...`."""
    known, text = sorted(known), str(name)[:100]
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.6)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(known)
    if len(listed) > _LONGEST_LIST:
        nearest = difflib.get_close_matches(text, known, n=_NEAREST, cutoff=0.0)
        listed = f"{', '.join(sorted(nearest))} and {len(known) - len(nearest)} more"
    return f"Unknown {kind} {shortened(name)}.{hint} Known: {listed}."


def check_arguments(name, arguments, known):
    """Raise a UserError that names the first of `arguments` that `name` does not have."""
    for key in arguments:
        if key not in known:
            raise UserError(unknown_name(f"argument of {name}", key, known))


def split_arguments(text):
    """`eesmm:num_mixed=3` -> `("eesmm", {"num_mixed": 3})`, the values in YAML.

    Raises:
        UserError: an argument without a value, or no valid YAML.
    """
    name, *pairs = text.split(":")
    return name, dict(split_assignment(pair, shortened(text)) for pair in pairs)


def split_assignment(text, where):
    """`num_mixed=3` -> `("num_mixed", 3)`, the value in YAML.

    Args:
        where: what the message calls the place where the text stood.

    Raises:
        UserError: no key, no value, or no valid YAML.
    """
    key, _, value = text.partition("=")
    if not key.strip() or not value.strip():
        raise UserError(
            f"{where} takes key=value, got {shortened(text)}. (`key=null` stands for no value.)"
        )
    return key.strip(), parse_yaml(value, f"{where}, {shortened(text)},")


def parse_yaml(text, where):
    """Plain YAML values, or a UserError that names `where` the text stood."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        # Impossible dates, numbers of thousands of digits and deep nesting are no YAMLErrors.
        raise UserError(f"{where} is not valid YAML: {shortened(error)}") from error
    try:
        _count(value, 0, ())
    except ValueError as error:
        raise UserError(f"{where} {error}.") from error
    return value


def _count(value, count, outer):
    """Number of values in `value` and `count`; ValueError where it contains itself or is too large."""
    count += 1
    if count > _MOST_VALUES:
        raise ValueError(f"stands for more than {_MOST_VALUES} values")
    if not isinstance(value, dict | list | tuple | set):
        return count
    if any(value is other for other in outer):
        raise ValueError("contains itself (a YAML alias inside its own anchor)")
    for item in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
        count = _count(item, count, (*outer, value))
    return count


def yaml_names(folder):
    """Names of the YAML files in a folder of a package (`importlib.resources.files`), sorted."""
    names = (path.name for path in folder.iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def check_choice(argument, value, known):
    """Raise a ValueError that lists the known values unless `value` is one of them."""
    if value not in known:
        raise ValueError(unknown_name(argument, value, known))


@contextlib.contextmanager
def built_by(what):
    """What a constructor in the block raises, as one line: the user chose its arguments.

    Args:
        what: the message's name of what is built, such as "encoder 'swin_tiny:depths=5'".
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except ValueError as error:
        raise UserError(shortened(error, 500)) from error
    except TypeError as error:
        raise UserError(
            f"An argument of {what} is of the wrong kind: {shortened(error)}."
        ) from error
    except Exception as error:  # a plug-in's constructor may raise anything
        reason = f"{type(error).__name__}: {shortened(error)}"
        raise UserError(
            f"{what[:1].upper()}{what[1:]} cannot be built with these arguments ({reason})."
        ) from error

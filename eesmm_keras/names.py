"""Messages about names that are not known."""

import difflib
import reprlib

import yaml

from eesmm_keras.errors import UserError


def unknown_name(kind, name, known):
    """`Unknown backbone 'swin_tinny'. Did you mean 'swin_tiny'? Known: ...`."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known)}."


def split_arguments(text):
    """`eesmm:num_mixed=3` -> `("eesmm", {"num_mixed": 3})`, the values in YAML."""
    name, *pairs = text.split(":")
    pairs = (pair.partition("=") for pair in pairs)
    return name, {key: parse_yaml(value, f"{text!r}") for key, _, value in pairs}


def parse_yaml(text, where):
    """Plain YAML values, or a UserError that names `where` the text stood."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        # Impossible dates, numbers of thousands of digits and deep nesting are no YAMLErrors.
        raise UserError(f"{where} is not valid YAML: {shortened(error)}") from error


def check_choice(argument, value, known):
    """Raise a ValueError that lists the known values unless `value` is one of them."""
    if value not in known:
        raise ValueError(unknown_name(argument, value, known))


def shortened(reason, length=200):
    """A value or an exception as one short line; an exception without text by its type."""
    if isinstance(reason, Exception):
        text = str(reason) or type(reason).__name__
    else:
        # A few bytes of YAML can mean a value of gigabytes.
        text = repr(reason) if isinstance(reason, str) else reprlib.repr(reason)
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 4]} ..."

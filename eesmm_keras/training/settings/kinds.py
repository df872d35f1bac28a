"""What a setting can be: kinds of values for annotations, each with its range in words."""

import contextlib
import importlib
import numbers
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from eesmm_keras.errors import UserError
from eesmm_keras.image_size import LARGEST as LARGEST_SIDE
from eesmm_keras.image_size import plain_size
from eesmm_keras.names import shortened

LARGEST = 2**31 - 1
_LONGEST_PATH, _LONGEST_NAME = 4095, 255


@dataclass(frozen=True)
class Kind:
    """What a message and the command line know of an annotation.

    Attributes:
        words: what is expected, in words: "a whole number from 1 to 8".
        from_text: function from an option's text to a value that can be checked.
        choices: the names that are taken, where they are few.
    """

    words: str
    from_text: typing.Callable = str
    choices: tuple = ()


def kind_of(annotation):
    """The `Kind` of an annotation, also of `... | None`."""
    if annotation is bool:
        return Kind("true or false")
    for part in getattr(annotation, "__metadata__", ()):
        if isinstance(part, Kind):
            return part
    return next(kind_of(part) for part in typing.get_args(annotation) if part is not type(None))


def is_optional(annotation):
    """Whether a value of the annotation may be None."""
    return type(None) in typing.get_args(annotation)


def whole(low, high=LARGEST):
    """A whole number in [low, high]; 5.0 is one, "5" and true are none."""
    kind = Kind(f"a whole number from {low} to {high}", _number_in)
    return Annotated[int, BeforeValidator(_to_whole), Field(ge=low, le=high), kind]


def number(low, high, without=()):
    """A finite number in [low, high]; YAML reads 1e-4 (without a dot) as text, which is taken too.

    Args:
        without: those of the two ends that are left out.
    """
    bounds = {"gt" if low in without else "ge": low, "lt" if high in without else "le": high}
    words = f"a number {_range(low, high, without)}"
    kind = Kind(words, _number_in)
    return Annotated[float, BeforeValidator(_to_number), Field(**bounds), kind]


def interval(low, high, without=()):
    """Two finite numbers of the range, see `number`, the smaller one first."""
    kind = Kind(f"two numbers {_range(low, high, without)}, the smaller one first")
    one = number(low, high, without)
    return Annotated[tuple[one, one], BeforeValidator(_to_pair), AfterValidator(_ordered), kind]


def choice(*names):
    """One of a few names."""
    return Annotated[Literal[names], Kind(f"one of {', '.join(names)}", choices=names)]


def member_of(family):
    """The name of a family's member; plug-ins count.

    Args:
        family: `"module:NAME"` of a `registry.Family`; imported when a value is checked.
    """

    def known(name):
        module, _, variable = family.partition(":")
        names = getattr(importlib.import_module(module), variable).names()
        if name not in names:
            raise UnknownName(names)
        return name

    return Annotated[str, AfterValidator(known), Kind("a name")]


class UnknownName(ValueError):
    """A name that is none of `names`."""

    def __init__(self, names):
        super().__init__()
        self.names = names


def _range(low, high, without):
    ends = [f"{end:g}{' (left out)' * (end in without)}" for end in (low, high)]
    return f"from {ends[0]} to {ends[1]}"


def _to_whole(value):
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):  # NaN and infinity
            return int(value) if int(value) == value else value
    return value


def _to_number(value):
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # thousands of digits
            return float(value)
    return value


def _to_pair(value):
    return tuple(value) if isinstance(value, list) else value


def _ordered(pair):
    if pair[0] > pair[1]:
        raise ValueError("the smaller one comes first")
    return pair


def _number_in(text):
    for read in (int, float):
        with contextlib.suppress(ValueError):
            return read(text)
    return text


def check_text(text):
    """Text that can be written down: no null bytes, nothing that is not Unicode."""
    if "\0" in text:
        raise ValueError("there is a null byte in it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("there are bytes in it that are not UTF-8") from error
    return text


def check_path(text):
    """Text that a file system takes as a name."""
    check_text(text)
    longest = max(len(part.encode()) for part in text.split("/"))
    if longest > _LONGEST_NAME or len(text.encode()) > _LONGEST_PATH:
        raise ValueError(f"a name may have {_LONGEST_NAME} bytes and a whole path {_LONGEST_PATH}")
    return text


def _to_size(value):
    listed = isinstance(value, list | tuple)
    try:
        return plain_size([_to_whole(side) for side in value] if listed else _to_whole(value))
    except ValueError as error:
        raise UserError(f"A size in pixels (image_size, tile): {error}.") from error


def _size_in(text):
    sides = [_number_in(side) for side in text.split(",")]
    return sides[0] if len(sides) == 1 else sides


def _to_interval_text(value):
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return f"{float(value):g}"
    return value


def parse_interval(text):
    """`500` -> `("steps", 500.0)`, `10 minutes` -> `("minutes", 10.0)`, `1 epoch` likewise.

    Raises:
        UserError: anything else.
    """
    number, _, unit = text.strip().partition(" ")
    units = {"": "steps", "step": "steps", "minute": "minutes", "min": "minutes", "epoch": "epochs"}
    unit = units.get(unit.strip().removesuffix("s"))
    try:
        amount = float(number)
    except ValueError:
        amount = 0.0
    if unit is None or not 0 < amount <= LARGEST or (unit != "minutes" and amount % 1):
        raise UserError(f"checkpoint_every takes {_INTERVAL}, got {text[:60]!r}.")
    return unit, amount


def _checked_interval(text):
    parse_interval(text)
    return text


_INTERVAL = "a number of steps (500), minutes (10 minutes) or epochs (1 epoch)"


def _to_bands(value):
    bands = [_to_whole(band) for band in value] if isinstance(value, list | tuple) else [value]
    if not bands or any(type(band) is not int or band < 1 for band in bands):
        raise UserError(
            f"bands takes whole numbers from 1, such as 4,3,2; got {shortened(value, 60)}."
        )
    return bands


Count = whole(1)
Bands = Annotated[
    Any,
    AfterValidator(_to_bands),
    Kind("whole numbers from 1", lambda text: [_number_in(band) for band in text.split(",")]),
]
Size = Annotated[
    Any,
    AfterValidator(_to_size),
    Kind(f"N or H,W, whole numbers from 1 to {LARGEST_SIDE}", _size_in),
]
Share = number(0, 1)
Rate = number(0, 1000)
Path = Annotated[str, Field(min_length=1), AfterValidator(check_path), Kind("a path")]
# What the command line gives in every run; "": not given.
Given = Annotated[str, AfterValidator(check_path), Kind("a path")]
Text = Annotated[str, Field(min_length=1), AfterValidator(check_text), Kind("text")]
Interval = Annotated[
    str, BeforeValidator(_to_interval_text), AfterValidator(_checked_interval), Kind(_INTERVAL)
]
Arguments = Annotated[dict[str, Any], Kind("a mapping")]

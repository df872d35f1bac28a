"""What every class of settings does: values checked when given, and told of in one line."""

import functools
import typing

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from eesmm_keras.errors import UserError
from eesmm_keras.names import shortened, unknown_name
from eesmm_keras.training.settings.kinds import kind_of

_RULES = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def setting(default, help, option=None):
    """A setting's declaration.

    Args:
        help: one line, for `--help` and `eesmm list settings`.
        option: how the value of its option on the command line is called ("" for a switch); None:
            `--set` alone sets it.
    """
    return Field(default, description=help, json_schema_extra={"option": option})


class Settings(BaseModel):
    """Values that are checked when they are given, and stay as they are.

    Raises:
        UserError: an unknown name (the nearest known one is named), or a value that is not of the
            kind or range; a single line.
    """

    model_config = _RULES

    def __init__(self, **values):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _plain(type(self), error) from error

    def replaced(self, **changes):
        """The same settings with other values, which are checked; these stay as they are."""
        return type(self)(**{**dict(self), **changes})

    @classmethod
    @functools.cache
    def kinds(cls):
        """Dict from every setting's name to its annotation."""
        hints = typing.get_type_hints(cls, include_extras=True)
        return {name: hints[name] for name in cls.model_fields}

    @classmethod
    def check(cls, name, value):
        """One value as it will stand in the settings, or the UserError of the class."""
        try:
            return TypeAdapter(cls.kinds()[name], config=_RULES).validate_python(value)
        except ValidationError as error:
            raise _plain(cls, error, name) from error


def _plain(cls, error, name=None):
    """The UserError of a ValidationError: its first part, in our words."""
    first = error.errors(include_url=False)[0]
    name = name or first["loc"][0]
    if name not in cls.model_fields:
        return UserError(unknown_name("setting", name, cls.model_fields))
    kind, value = kind_of(cls.kinds()[name]), first["input"]
    reason = first.get("ctx", {}).get("error")
    names = kind.choices or getattr(reason, "names", ())
    if names:
        return UserError(unknown_name(name, value, names))
    if isinstance(reason, UserError):
        return reason
    more = f": {reason}" if reason else ""
    return UserError(f"Setting {name} must be {kind.words}, got {shortened(value, 100)}{more}.")

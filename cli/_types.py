"""What the value of an option can be, beside click's own types."""

import click

from eesmm_keras.errors import UserError
from eesmm_keras.names import shortened


class SettingType(click.ParamType):
    """The value of a setting, checked as the settings check it.

    Args:
        cls: class of settings. setting: name of one of them.
    """

    name = "value"

    def __init__(self, cls, setting):
        self._cls, self._setting = cls, setting

    def convert(self, value, param, ctx):
        from eesmm_keras.training.settings.kinds import kind_of

        kind = kind_of(self._cls.kinds()[self._setting])
        if value == "":
            raise UserError(f"Setting {self._setting} must be {kind.words}, got ''.")
        if isinstance(value, str):
            value = kind.from_text(value)
        return self._cls.check(self._setting, value)


class PathType(click.ParamType):
    """A path that a file system takes: not empty, not too long, no null bytes."""

    name = "path"

    def convert(self, value, param, ctx):
        from eesmm_keras.training.settings.kinds import check_path

        try:
            if not value:
                raise ValueError("it is empty")
            return check_path(str(value))
        except ValueError as error:
            raise UserError(
                f"{param.opts[0]} must be a path, got {shortened(value, 100)}: {error}."
            ) from error


PATH = PathType()

"""Options that take the name of a family's member."""

import importlib

import click

from eesmm_keras.errors import UserError
from eesmm_keras.names import unknown_name


class MemberOf(click.ParamType):
    """A member's name, checked when the command is called: plug-ins count.

    Args:
        family: `"module:NAME"` of a `registry.Family`; imported only when it is needed.
        others: names that the command takes beside the members'.
    """

    name = "name"

    def __init__(self, family, others=()):
        self._where, self._others = family, tuple(others)

    @property
    def family(self):
        module, _, name = self._where.partition(":")
        return getattr(importlib.import_module(module), name)

    def names(self):
        return [*self._others, *self.family.names()]

    def get_metavar(self, param, ctx):
        return f"[{'|'.join(self.names())}]"

    def convert(self, value, param, ctx):
        name, _, _ = value.partition(":")  # arguments may follow
        if name not in self.names():
            raise UserError(unknown_name(self.family.kind, name, self.names()))
        return value

"""Options that take the name of a family's member."""

import importlib

import click

from eesmm_keras.errors import UserError
from eesmm_keras.names import unknown_name

# Families whose members are shown by name and first line; methods and encoders have lists of their own.
FAMILIES = {
    "tasks": "eesmm_keras.tasks:TASKS",
    "sources": "eesmm_keras.data.formats:SOURCES",
    "files": "eesmm_keras.data.files:FILES",
    "formats": "eesmm_keras.exports.formats:FORMATS",
    "probes": "eesmm_keras.evaluation.probes:PROBES",
}


def find_family(where):
    """The `registry.Family` at `"module:NAME"`."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def show_members(family):
    """Print the names in a family of `FAMILIES`, each with the first line of its docstring."""
    family = find_family(FAMILIES[family])
    for name in family.names():
        text = (family.get(name).__doc__ or "").strip()
        click.echo(f"{name:22} {text.splitlines()[0] if text else ''}".rstrip())


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
        return find_family(self._where)

    def names(self):
        return [*self._others, *self.family.names()]

    def get_metavar(self, param, ctx):
        return f"[{'|'.join(self.names())}]"

    def convert(self, value, param, ctx):
        name, _, _ = value.partition(":")  # arguments may follow
        if name not in self.names():
            raise UserError(unknown_name(self.family.kind, name, self.names()))
        return value

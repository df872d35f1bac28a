"""Families whose members are found by file name: methods, encoders, tasks, data sources and so on.

The member NAME of a family is the module NAME.py of its package, imported when it is asked for.
Modules whose names begin with an underscore, and those that a family lists as shared, are no members.

Others can add members without a fork, in two ways:

- `EESMM_PLUGINS`, folders separated as in `PATH`: a member is the file `FOLDER/FAMILY/NAME.py`, such as
  `my_plugins/methods/crossmae.py`;
- an installed package's entry point `NAME = "package.module"` in the group `eesmm_keras.FAMILY`.

A member of this package wins over a plug-in of the same name.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import sys
from functools import cached_property
from pathlib import Path

from eesmm_keras.errors import UserError
from eesmm_keras.names import unknown_name
from eesmm_keras.outline import outline_of

PLUGINS_VARIABLE = "EESMM_PLUGINS"


class Family:
    """One family of members.

    Args:
        name: of the family, in the plural: "methods". It names the folder of plug-ins, and the group
            `eesmm_keras.methods` of entry points.
        kind: what messages call a member: "method".
        package: dotted name of the package that holds the members.
        contract: what the member's module must define, as `"module:Class"`: exactly one public
            subclass of it, which `get` returns. None: `get` returns the module.
        shared: modules of the package that are no members, such as the one of the contract.
    """

    def __init__(self, name, kind, package, contract=None, shared=()):
        self.name, self.kind, self.package = name, kind, package
        self.contract, self.shared = contract, frozenset(shared)

    def names(self):
        """Names of all members, sorted; none of them is imported."""
        return sorted({*self._own, *self._plugin_files(), *self._entry_points()})

    def check(self, name):
        """Raise a UserError that lists the known names unless `name` is one; nothing is imported."""
        if name not in self.names():
            raise UserError(unknown_name(self.kind, name, self.names()))

    def outline(self, name):
        """`Outline` of a member's class, which is not imported; None where only that would tell: of
        plug-ins, whose classes may have their arguments from anywhere."""
        spec = name in self._own and importlib.util.find_spec(f"{self.package}.{name}")
        return outline_of(spec.origin) if spec else None

    def get(self, name):
        """The class (or module) of a member.

        Raises:
            UserError: an unknown name (the message lists the known ones); or a plug-in that cannot be
                imported or defines no class of the family.
        """
        self.check(name)
        module = self._import(name)
        return module if self.contract is None else self._class_in(module)

    @cached_property
    def _own(self):
        path = importlib.import_module(self.package).__path__
        found = (module.name for module in pkgutil.iter_modules(path))
        return tuple(n for n in found if not n.startswith("_") and n not in self.shared)

    def _plugin_files(self):
        folders = os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep)
        files = [
            path for folder in folders if folder for path in Path(folder, self.name).glob("*.py")
        ]
        return {path.stem: path for path in reversed(files) if not path.stem.startswith("_")}

    def _entry_points(self):
        points = importlib.metadata.entry_points(group=f"eesmm_keras.{self.name}")
        return {point.name: point for point in points}

    def _import(self, name):
        if name in self._own:
            return importlib.import_module(f"{self.package}.{name}")
        path = self._plugin_files().get(name)
        try:
            if path is not None:
                return _import_file(f"eesmm_plugins.{self.name}.{name}", path)
            return self._entry_points()[name].load()
        except Exception as error:  # somebody else's code: it may raise anything
            where = path or f"the entry point {name!r}"
            raise UserError(
                f"The {self.kind} plug-in in {where} cannot be imported: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _class_in(self, module):
        where, _, contract = self.contract.partition(":")
        base = getattr(importlib.import_module(where), contract)
        found = [
            value
            for key, value in vars(module).items()
            if isinstance(value, type)
            and issubclass(value, base)
            and value.__module__ == module.__name__
            and not key.startswith("_")
        ]
        if len(found) != 1:
            names = ", ".join(cls.__name__ for cls in found) or "none"
            raise UserError(
                f"The {self.kind} module {module.__file__} must define exactly one public subclass of "
                f"{contract}; it defines {names}."
            )
        return found[0]


def _import_file(name, path):
    """Module of a file under a name of its own, so that pickling and Keras find its classes again."""
    module = sys.modules.get(name)
    if module is not None and module.__file__ == str(path):
        return module
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module

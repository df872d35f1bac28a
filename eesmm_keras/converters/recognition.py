"""Which layout a source has, and where in it the encoder stands."""

import importlib
import re

from eesmm_keras.converters import CONVERTERS
from eesmm_keras.converters.source import open_source
from eesmm_keras.errors import UserError

# Of several dicts in a pickle that hold an encoder, the first of these is taken.
_PREFERRED = ("model", "state_dict", "model_state_dict", "module", "net", "")


class Weights:
    """Weights of a recognised layout.

    Attributes:
        source: the `Source`.
        converter: the `Converter`.
        names: `{their name as the converter calls it: (name in the file, Tensor)}`.
        notes: lines for the report.
        assumed: names of arguments that neither file nor configuration says -> what to tell of it where
            the assumption stands.
        used: names in the file that were asked for.
        arguments: constructor arguments of our encoder that these weights fit as they are.
    """

    def __init__(self, source, converter, names):
        self.source, self.converter, self.names = source, converter, names
        self.notes, self.used, self.assumed = [], set(), {}
        self.arguments = converter.arguments(self)

    @property
    def encoder_class(self):
        """Class of our encoder that the layout fits."""
        module, _, name = self.converter.encoder.partition(":")
        return getattr(importlib.import_module(module), name)

    def __contains__(self, name):
        return name in self.names

    def shape(self, name):
        """Shape of one of their arrays.

        Raises:
            UserError: it is not there.
        """
        if name not in self.names:
            raise UserError(
                f"{self.source.where} looks like {self.converter.title}, but {name} is missing."
            )
        return self.names[name][1].shape

    def array(self, name):
        """One of their arrays, float32; it then counts as used."""
        self.shape(name)
        raw, tensor = self.names[name]
        self.used.add(raw)
        try:
            return tensor.array()
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{self.source.where}: {raw} cannot be read: {error}") from error

    def count(self, pattern):
        """Number of values of the one group in a regular expression that names begin with."""
        found = {int(m[1]) for name in self.names if (m := re.match(pattern, name))}
        if found and max(found) + 1 != len(found):
            raise UserError(
                f"{self.source.where}: of {self.converter.title}'s numbered parts, "
                f"{sorted(set(range(max(found))) - found)} are missing ({pattern})."
            )
        return len(found)

    def left_over(self):
        """Names in the file that nothing asked for."""
        ignored = re.compile(self.converter.ignored)
        return sorted(
            raw for name, (raw, _) in self.names.items()
            if raw not in self.used and not ignored.search(name)
        )  # fmt: skip


def open_weights(where):
    """Weights of a place, see `source.open_source`, with their layout recognised.

    Raises:
        UserError: nothing there, nothing that can be read, or no known layout.
    """
    source = open_source(where)
    candidates = [CONVERTERS.get(name)() for name in CONVERTERS.names()]
    candidates.sort(key=lambda converter: -converter.rank)
    order = sorted(
        source.containers,
        key=lambda name: (_PREFERRED.index(name) if name in _PREFERRED else len(_PREFERRED), name),
    )
    for container in order:
        for converter in candidates:
            found = names_of_layout(converter, source, container)
            if found is not None:
                return Weights(source, converter, found)
    raise UserError(_unknown(where, source, candidates))


def names_of_layout(converter, source, container):
    """`{name as the converter calls it: (name there, Tensor)}` of a container, if it is of the layout.

    None if it is not. Raises a UserError for what the converter refuses.
    """
    raw = source.containers[container]
    renamed = {name: _rename(name, converter.renames) for name in raw}
    ends = [name for name in renamed.values()
            if name == converter.anchor or name.endswith(f".{converter.anchor}")]  # fmt: skip
    if not ends:
        return None
    wrappers = sorted({name.removesuffix(converter.anchor) for name in ends}, key=len)
    if len(wrappers) > 1:
        raise UserError(
            f"{source.where} holds {len(wrappers)} encoders, under {', '.join(map(repr, wrappers))}. "
            "Save the one that you want alone."
        )
    wrapper = wrappers[0]
    inner = {new.removeprefix(wrapper): old for old, new in renamed.items()
             if new.startswith(wrapper)}  # fmt: skip
    outer = _outside(wrapper, renamed)
    if not converter.matches(set(inner), set(outer)):
        return None
    for pattern, what in converter.refused.items():
        hit = next((name for name in inner if re.search(pattern, name)), None)
        if hit:
            raise UserError(
                f"{source.where} holds {converter.title} with {what} ({inner[hit]}), which our "
                "encoder does not have: it cannot be taken over."
            )
    # The encoder's own names win over those outside.
    return {new: (old, raw[old]) for new, old in {**outer, **inner}.items()}


def _outside(wrapper, renamed):
    """Names outside the encoder's wrapper, without the wrapper that they share with it."""
    parts = wrapper.split(".")
    for length in range(len(parts) - 1, -1, -1):
        shared = ".".join([*parts[:length], ""]) if length else ""
        outer = {new.removeprefix(shared): old for old, new in renamed.items()
                 if new.startswith(shared) and not new.startswith(wrapper)}  # fmt: skip
        if outer:
            return outer
    return {}


def _rename(name, renames):
    for pattern, replacement in renames:
        name = re.sub(pattern, replacement, name)
    return name


def _unknown(where, source, candidates):
    names = [name for container in source.containers.values() for name in container]
    if not names:
        return f"{where} holds no arrays."
    shown = ", ".join(sorted(names)[:3])
    return (
        f"{where} is of no known layout: {len(names)} arrays ({shown}, ...). Known are those of "
        f"{', '.join(sorted(converter.title for converter in candidates))}; see eesmm docs weights."
    )

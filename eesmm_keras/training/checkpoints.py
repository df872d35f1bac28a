"""Checkpoints of a run: everything that it needs to go on as if it had not stopped.

A checkpoint is one file, `step_000000500.npz`: the values of all variables (weights, optimizer,
averages, seed generators, metrics) and a few facts about the run. It is written under another
name, flushed to the disk and then renamed, so a file with this name is complete; the checksums
that the format holds are verified on loading.
"""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np

from eesmm_keras.errors import UserError
from eesmm_keras.names import shortened
from eesmm_keras.training.state_files import check_kind, checkpoint_name, step_of
from eesmm_keras.whole_files import remove_file, write_atomically

_PATTERN = "step_*.npz"
_FACTS = "facts.json"
_MAX_FACTS = 2**20  # bytes


def model_state(model):
    """All variables that training changes, as a dict from a name to a variable.

    Left out are those that follow from the configuration (`derived_variables` of the model).
    """
    derived = {id(variable) for variable in model.derived_variables}
    return {
        f"{group}/{number:05d}": variable
        for group, variables in (
            ("model", model.variables),
            ("optimizer", model.optimizer.variables),
            ("metrics", model.metrics_variables),
        )
        for number, variable in enumerate(variables)
        if id(variable) not in derived
    }


class Checkpoints:
    """The checkpoints in a folder.

    Args:
        folder: path. keep: how many are kept; older ones are removed.
        writes: False: `save` writes nothing, because another host does it.
    """

    def __init__(self, folder, keep=2, writes=True):
        self.folder, self.keep, self.writes = Path(folder), keep, writes

    def paths(self):
        """Newest first."""
        return sorted(self.folder.glob(_PATTERN), reverse=True)

    def save(self, step, model, facts):
        """Write the state after `step` steps, complete or not at all.

        Args:
            step: int. model: built and compiled. facts: dict of plain values, given back by `load`.

        Raises:
            UserError: the disk is full, or the folder is gone or cannot be written.
        """
        # TensorFlow sums some of them over the hosts: all of these must read.
        arrays = {
            name: keras.ops.convert_to_numpy(value) for name, value in model_state(model).items()
        }
        if not self.writes:
            return
        path = self.folder / checkpoint_name(step)
        try:
            write_atomically(path, lambda file: _write(file, arrays, {**facts, "step": step}))
        except OSError as error:
            raise self._cannot_write(error) from error
        # Older ones, and what a process that was killed while writing left behind.
        for old in (*self.paths()[self.keep :], *self.folder.glob("partial-*")):
            remove_file(old)

    def _cannot_write(self, error):
        last = self.paths()
        good = f"The last good one is {last[0]}. " if last else "There is no earlier one. "
        return UserError(
            f"Cannot write a checkpoint to {self.folder}: {error.strerror}. {good}"
            "Make room (or restore the folder) and give the same command again to go on."
        )

    def load(self, model, say=print):
        """The newest checkpoint that is whole.

        Args:
            model: built and compiled, whose state is looked for. say: takes a line about each
                checkpoint that is damaged.

        Returns:
            `(arrays, facts)`: dict of NumPy arrays as in `model_state`, dict with "step" and what
            was given to `save`; None if there is no checkpoint.

        Raises:
            UserError: there are checkpoints, and none of them is whole; or one of another model.
        """
        paths, state = self.paths(), model_state(model)
        for path in paths:
            try:
                check_kind(path, "")
                return _read(path, model, state)
            except _OtherModelError:
                raise UserError(
                    f"{path} is of another model, optimizer or Keras version than this command makes."
                    " Choose another --out."
                ) from None
            except Exception as error:  # a damaged file may make its parsers raise anything
                say(f"{path} is damaged ({shortened(error)}); taking the one before it.")
        if paths:
            raise UserError(
                f"None of the checkpoints in {self.folder} can be read. Remove that folder to begin "
                "again from the start, or put an intact checkpoint back."
            )
        return None


class _OtherModelError(Exception):
    """A checkpoint is whole, but its variables are not those of the model."""


def restore(model, arrays, groups=("model", "optimizer", "metrics")):
    """Give a model's variables the values of a checkpoint.

    Args:
        model: built and compiled. arrays: of `Checkpoints.load`. groups: which of its variables.
    """
    for name, variable in model_state(model).items():
        if name.partition("/")[0] in groups:
            variable.assign(arrays[name])


def _write(file, arrays, facts):
    # Not numpy.savez: names hold slashes and more variables than one would like as keywords.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr(_FACTS, json.dumps(facts))
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def _read(path, model, state):
    with zipfile.ZipFile(path) as archive:
        facts = _read_facts(archive, path)
        names = {n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")}
        places = _places(model, state, names)
        if places is None:
            raise _OtherModelError
        arrays = {name: _read_array(archive, places[name], state[name]) for name in places}
    # What the file does not hold has not changed since the beginning.
    for name in state.keys() - arrays.keys():
        arrays[name] = keras.ops.convert_to_numpy(state[name])
    return arrays, facts


def _places(model, state, names):
    """Dict from a variable's name in `state` to its name in a file; None: it is of another model."""
    if names == state.keys():
        return {name: name for name in names}
    places = {}
    for group, pair in (("model", _without_former), ("optimizer", _of_loss_scaling)):
        mine, there = (
            sorted(n for n in some if n.startswith(f"{group}/")) for some in (state, names)
        )
        pairs = zip(mine, there, strict=True) if mine == there else pair(model, mine, there)
        if pairs is None:
            return None
        places.update(pairs)
    rest = [name for name in state if name.startswith("metrics/")]
    known = ("model/", "optimizer/")
    if set(rest) != {name for name in names if not name.startswith(known)}:
        return None
    return {**places, **{name: name for name in rest}}


def _without_former(model, mine, there):
    """Pairs of names for a checkpoint that holds what an earlier release's model had, or None."""
    former = {f"model/{number:05d}" for number in model.former_state}
    kept = [name for name in there if name not in former]
    return zip(mine, kept, strict=True) if len(kept) == len(mine) else None


def _of_loss_scaling(model, mine, there):
    """Pairs of names for an earlier release's optimizer with loss scaling, or None.

    It wrote the first checkpoint before the scale's two variables were made, and the later ones with
    two of the inner optimizer's made twice: the last two count.
    """
    inner = getattr(model.optimizer, "inner_optimizer", None)
    if inner is None:
        return None
    own = len(mine) - len(inner.variables)
    if len(there) == len(mine) - 2:
        return zip([*mine[: own - 2], *mine[own:]], there, strict=True)
    if len(there) == len(mine) + 2:
        return zip(mine, [*there[:-4], *there[-2:]], strict=True)
    return None


def _read_facts(archive, path):
    if archive.getinfo(_FACTS).file_size > _MAX_FACTS:
        raise ValueError("its facts are too long")
    facts = json.loads(archive.read(_FACTS))
    if not isinstance(facts, dict) or type(facts.get("step")) is not int:
        raise ValueError("it does not tell its step")
    if facts["step"] != step_of(path):
        raise ValueError(f"it says that it is of step {facts['step']}")
    images = facts.get("images", 0)
    if type(images) is not int or images < 0:
        raise ValueError(f"it says that it saw {shortened(images)} images")
    undecayed = facts.get("undecayed") or []
    if not isinstance(undecayed, list) or not all(isinstance(name, str) for name in undecayed):
        raise ValueError(f"it says that {shortened(undecayed)} is not decayed")
    return facts


def _read_array(archive, name, variable):
    """Array of the variable's shape; nothing larger than that is read, whatever the file says."""
    with archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{name} is of version {version}")
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(member)
        if not _fits(dtype, variable.dtype):
            raise ValueError(f"{name} holds {dtype} where {variable.dtype} must be")
        if shape != tuple(variable.shape):
            raise _OtherModelError
        size = dtype.itemsize * int(np.prod(shape))
        # To the very end: only there the member's checksum is verified.
        data = member.read(size + 1)
    if len(data) != size:
        raise ValueError(f"{name} holds {len(data)} bytes where {size} must be")
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if by_columns else "C")


def _fits(dtype, wanted):
    # The backends differ in the integers that they give back for the same variable.
    wanted = keras.backend.standardize_dtype(wanted)
    return dtype.name == wanted or (dtype.kind in "iu" and "int" in wanted)

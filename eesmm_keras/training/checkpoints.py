"""Checkpoints of a run: everything that it needs to go on as if it had not stopped.

A checkpoint is one file, `step_000000500.npz`: the values of all variables (weights, optimizer,
averages, seed generators, metrics) and a few facts about the run. It is written under another
name, flushed to the disk and then renamed, so a file with this name is complete; the checksums
that the format holds are verified on loading.
"""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np

from eesmm_keras.errors import UserError

_PATTERN = "step_*.npz"
_FACTS = "facts.json"


def model_state(model):
    """All variables that training changes, as a dict from a name to a variable.

    Left out are those that follow from the configuration (`derived_variables` of the model).
    """
    derived = {id(variable) for variable in getattr(model, "derived_variables", ())}
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
        import keras

        # TensorFlow sums some of them over the hosts: all of these must read.
        arrays = {
            name: keras.ops.convert_to_numpy(value) for name, value in model_state(model).items()
        }
        if not self.writes:
            return
        path = self.folder / f"step_{step:09d}.npz"
        try:
            write_atomically(path, lambda file: _write(file, arrays, {**facts, "step": step}))
        except OSError as error:
            raise self._cannot_write(error) from error
        # Older ones, and what a process that was killed while writing left behind.
        for old in (*self.paths()[self.keep :], *self.folder.glob("partial-*")):
            old.unlink(missing_ok=True)

    def _cannot_write(self, error):
        last = self.paths()
        good = f"The last good one is {last[0]}. " if last else "There is no earlier one. "
        return UserError(
            f"Cannot write a checkpoint to {self.folder}: {error.strerror}. {good}"
            "Make room (or restore the folder) and give the same command again to go on."
        )

    def load(self, say=print):
        """The newest checkpoint that is whole.

        Args:
            say: takes a line about each one that is not.

        Returns:
            `(arrays, facts)`: dict of NumPy arrays as in `model_state`, dict with "step" and what
            was given to `save`; None if there is no checkpoint.

        Raises:
            UserError: there are checkpoints, and none of them is whole.
        """
        paths = self.paths()
        for path in paths:
            try:
                return _read(path)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                say(f"{path} is damaged ({error}); taking the one before it.")
        if paths:
            raise UserError(
                f"None of the checkpoints in {self.folder} can be read. Remove the folder to begin "
                "again from the start."
            )
        return None


def restore(model, arrays, groups=("model", "optimizer", "metrics")):
    """Give a model's variables the values of a checkpoint.

    Args:
        model: built and compiled. arrays: of `Checkpoints.load`. groups: which of its variables.

    Raises:
        UserError: they are not those of this model.
    """
    state = model_state(model)
    if state.keys() != arrays.keys() or any(
        tuple(variable.shape) != arrays[name].shape for name, variable in state.items()
    ):
        raise UserError(
            "The checkpoint is of another model, optimizer or Keras version than this command "
            "makes. Choose another --out."
        )
    for name, variable in state.items():
        if name.partition("/")[0] in groups:
            variable.assign(arrays[name])


def write_atomically(path, write):
    """Make a file that is complete or not there: `write(file)` fills it, opened for bytes."""
    partial = path.with_name(f"partial-{path.name}")
    try:
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError:
        _forget(partial)
        raise


def _forget(path):
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _sync_folder(folder):
    """Make the disk remember a renaming."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(file, arrays, facts):
    # Not numpy.savez: names hold slashes and more variables than one would like as keywords.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr(_FACTS, json.dumps(facts))
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def _read(path):
    with zipfile.ZipFile(path) as archive:
        facts = json.loads(archive.read(_FACTS))
        arrays = {}
        for name in archive.namelist():
            if name.endswith(".npy"):
                # `read` compares the checksum of the whole member.
                data = io.BytesIO(archive.read(name))
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(
                    data, allow_pickle=False
                )
    facts["step"] = int(facts["step"])
    return arrays, facts

"""Finished cells: files that say with which settings what came out, so that nothing runs twice."""

import json
from pathlib import Path

from eesmm_keras.comparison.specs import defaults_of
from eesmm_keras.errors import UserError

# Other ways to say what `encoder` says.
_SAID_TWICE = ("backbone", "image_size")
_DICTS = ("arguments", "pretrain", "finetune", "encoder")


def read_cells(folder):
    """The cells in a folder, not below it: list of `{"settings": ..., "result": ...}`.

    Raises:
        UserError: no such folder, or a file in it that is no cell.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"--evidence {folder}: there is no such folder.")
    cells = []
    for path in sorted(folder.glob("*.json")):
        try:
            cell = json.loads(path.read_text())
            cell["settings"]["method"], cell["result"]["linear"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is no finished cell of eesmm compare. Take it out of the folder."
            ) from error
        cells.append(cell)
    return cells


def find(cells, settings):
    """The result of a cell with these settings, or None.

    A cell fits if everything that decides its result is the same: data, encoder, method with all its
    arguments, budget, schedule, seed, images probed. Names of files and folders don't count. It may
    hold more label counts than are asked for. An argument that did not exist when it ran must have its
    default value now.
    """
    for cell in cells:
        if fits(cell["settings"], settings):
            return cell["result"]
    return None


def fits(stored, wanted):
    """Whether a cell's settings answer what is wanted, see `find`."""
    if not set(wanted["labels"]) <= set(stored["labels"]):
        return False
    dicts = [name for name in _DICTS if name != "finetune" or wanted["labels"]]
    single = set(stored) | set(wanted)
    single -= {*_DICTS, *_SAID_TWICE, "labels"}
    if any(stored.get(key) != wanted.get(key) for key in single):
        return False
    defaults = defaults_of(wanted)
    return all(_same(stored[name], wanted[name], defaults[name]) for name in dicts)


def _same(stored, wanted, defaults):
    if any(key not in wanted or wanted[key] != value for key, value in stored.items()):
        return False
    return all(wanted[key] == defaults.get(key) for key in wanted.keys() - stored.keys())

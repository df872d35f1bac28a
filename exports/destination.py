"""The place an export goes to: checked early, filled at the last moment."""

import contextlib
import json
import os
import tempfile
from pathlib import Path

from eesmm_keras.exports.errors import ExportError


def check_destination(out, fmt, overwrite):
    """Refuse a bad `out` before any long work.

    Args:
        out: path asked for. fmt: `Format`. overwrite: bool.

    Raises:
        ExportError: the parent folder is missing or not writable; something exists under the name
            and `overwrite` is False, or is no export of this format; a name without its suffix.
    """
    out = Path(out)
    if not out.parent.is_dir():
        raise ExportError(f"The folder {out.parent} does not exist; create it first.")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise ExportError(f"The folder {out.parent} is not writable.")
    if not out.name.endswith(fmt.suffix):
        raise ExportError(f"Expected a name that ends in `{fmt.suffix}`, received: {out}")
    if not out.exists():
        return
    if not overwrite:
        raise ExportError(
            f"{out} exists already. Choose another name, or replace it: --overwrite on the command "
            "line, `overwrite=True` in Python."
        )
    # Overwriting deletes: only what is plainly an earlier export may go.
    if not fmt.owns(out):
        raise ExportError(f"{out} exists and is not an earlier export; it is left as it is.")


@contextlib.contextmanager
def staging(out):
    """A fresh name beside `out`, on the same file system; gone afterwards unless moved away."""
    try:
        # A folder around it, so that the export itself gets the usual permissions.
        folder = tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent)
    except OSError as error:
        raise ExportError(f"Cannot write beside {out}: {error}") from error
    with folder as name:
        yield Path(name, out.name)


def move_into_place(staged, out):
    """Rename `staged` to `out`; an earlier export there disappears with the staging folder."""
    try:
        if not out.is_dir():
            os.replace(staged, out)
            return
        old = staged.with_name("old")
        os.replace(out, old)
        try:
            os.replace(staged, out)
        except OSError:
            os.replace(old, out)
            raise
    except OSError as error:
        raise ExportError(f"Cannot move the export to {out}: {error}") from error


def write_parity(folder, name, entry):
    """Put `entry` under `name` in `folder/parity.json`, keeping the entries of other exports."""
    path = folder / "parity.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        entries = {}
    entries[name] = entry
    partial = path.with_name(f".parity.{os.getpid()}.json")
    partial.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)


def size_on_disk(path):
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())

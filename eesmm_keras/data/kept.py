"""What takes long to find out, kept in the user's cache folder: arrays without pickles, and blobs."""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np


def cache_folder():
    """The user's cache folder for this package: EESMM_CACHE, or else the system's."""
    base = os.environ.get("EESMM_CACHE")
    if not base:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        base = os.path.join(base, "eesmm-keras")
    return Path(base)


def identity(paths):
    """What tells files from others and from what they were before: a plain value."""
    states = ((os.path.realpath(path), os.stat(path)) for path in paths)
    return [[path, state.st_size, state.st_mtime_ns] for path, state in states]


def digest(key):
    """Short name of a plain value, for a file."""
    return hashlib.sha256(json.dumps(key).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def kept_arrays(kind, key, make):
    """A dict of arrays, from the cache if it has those of `key`, else of `make()`, and kept then.

    Args:
        kind: name of a folder in the cache. key: plain value that decides what the arrays are.
        make: function without arguments. Its arrays may not hold objects.
    """
    file = cache_folder() / kind / f"{digest(key)}.npz"
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception:  # nearly anything may be wrong with a file that somebody else wrote
        made = make()
    with contextlib.suppress(OSError):  # a cache that cannot be written is no loss
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as partial:
            np.savez(partial, **made)
    return made


@contextlib.contextmanager
def whole_file(path):
    """An open file that gets its name at the end of the block, or is gone."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as partial:
        try:
            yield partial
            partial.close()
            os.replace(partial.name, path)
        except BaseException:
            os.unlink(partial.name)
            raise

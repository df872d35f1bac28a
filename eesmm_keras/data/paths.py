"""The files below a folder, a million of them where need be."""

import os
import stat
from array import array
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from eesmm_keras.data.errors import DataError


class PathList:
    """Paths below a folder, held as one run of bytes: some 10 bytes each beyond their letters.

    Args:
        root: str, the folder.
        names: iterable of relative paths in the order wanted; undecodable names as `os.fsdecode`
            gives them.
    """

    def __init__(self, root, names):
        encoded = [os.fsencode(name) for name in names]
        ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        self._hold(str(root), b"".join(encoded), ends)

    def _hold(self, root, blob, ends):
        self.root, self.blob, self.ends = root, blob, ends

    @classmethod
    def from_parts(cls, root, blob, ends):
        """From the bytes of all names and the int64 ends of each."""
        paths = cls.__new__(cls)
        paths._hold(str(root), blob, ends)
        return paths

    def __len__(self):
        return len(self.ends)

    def name(self, i):
        """Relative path `i`."""
        return os.fsdecode(self.blob[self.ends[i - 1] if i else 0 : self.ends[i]])

    def names(self):
        """All relative paths, one by one."""
        return (self.name(i) for i in range(len(self)))

    def __getitem__(self, i):
        return os.path.join(self.root, self.name(i))


@dataclass
class Listing:
    """`scan`'s answer: `paths`, sizes in bytes and times of change in ns (int64; -1: not there),
    and how many links led out of the folder and were not followed."""

    paths: PathList
    sizes: np.ndarray
    times: np.ndarray
    links: int


def scan(folder, suffixes, follow_links=False):
    """List the files below a folder that have one of the suffixes, ordered by their path's parts.

    Names that begin with a dot are ignored. Links to files inside the folder count under their own
    name; linked folders inside it do not, since their files are listed already.

    Args:
        folder: str or path. suffixes: tuple of str, in lower case.
        follow_links: bool, whether links that lead out of the folder are followed, once each.

    Raises:
        DataError: a folder cannot be listed.
    """
    root, folder = os.path.realpath(folder), str(folder)
    names, sizes, times = [], array("q"), array("q")
    links, seen = 0, set()
    waiting = [(folder, "")]
    while waiting:
        where, prefix = waiting.pop()
        for entry in _entries(where):
            if entry.name.startswith("."):
                continue
            wanted = entry.name.lower().endswith(suffixes)
            linked = entry.is_symlink()
            if linked and _leads_out(entry.path, root):
                if not follow_links:
                    links += wanted or entry.is_dir()
                    continue
                linked = False
            if entry.is_dir():
                # A link may lead to what holds itself: each folder is entered once.
                status = entry.stat()
                identity = (status.st_dev, status.st_ino)
                if not linked and (not follow_links or identity not in seen):
                    seen.add(identity)
                    waiting.append((entry.path, f"{prefix}{entry.name}{os.sep}"))
            elif wanted:
                size, time = _state(entry)
                names.append(prefix + entry.name)
                sizes.append(size)
                times.append(time)
    # As sorted(Path) does: by parts, so that "a/z" stands before "a.b/c".
    keys = [name.replace(os.sep, "\0") for name in names]
    order = sorted(range(len(names)), key=keys.__getitem__)
    del keys
    sizes, times = (np.array(values, np.int64)[order] for values in (sizes, times))
    return Listing(PathList(folder, (names[k] for k in order)), sizes, times, int(links))


def _entries(where):
    try:
        with os.scandir(where) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"Cannot list '{where}': {error.strerror}.") from error


def _state(entry):
    try:
        status = entry.stat()
    except OSError:  # a broken link, or gone since
        return -1, -1
    return (status.st_size if stat.S_ISREG(status.st_mode) else -1), status.st_mtime_ns


def _leads_out(path, root):
    target = os.path.realpath(path)
    return target != root and not target.startswith(os.path.join(root, ""))


def top_folders(paths):
    """The first folder of every path, "" for files that lie in the root."""
    return [name.partition(os.sep)[0] if os.sep in name else "" for name in paths.names()]


def duplicate_names(paths):
    """Groups of files in one folder whose names differ in letter case or suffix only.

    Such files are often the same picture twice, and on some systems one overwrites the other.

    Returns:
        List of lists of relative paths.
    """
    stems = sorted((os.path.splitext(name)[0].casefold(), name) for name in paths.names())
    groups, i = [], 0
    while i < len(stems):
        j = bisect_right(stems, stems[i][0], lo=i, key=lambda pair: pair[0])
        if j - i > 1:
            groups.append([name for _, name in stems[i:j]])
        i = j
    return groups


def printable(name):
    """A file's name for a screen or a list, on one line, without control or undecodable letters."""
    return name if name.isprintable() else ascii(name)[1:-1]

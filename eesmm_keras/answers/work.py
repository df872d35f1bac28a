"""Answers about many images, on disk while they grow: stopped anywhere, they go on to the same file.

    OUT                what was asked for; only complete answers have this name
    OUT.bad.csv        images that could not be read, if any: file, reason
    OUT.about.json     what was asked, of which images, and how many were answered
    partial-OUT/       the same while it is made, under the names in this file

Rows are those of images in the order of their names, one or more each, and are made in batches. After
`kill -9` the last batch that is whole counts: what stands behind it is cut off and made again, half a
line too.
"""

import contextlib
import csv
import errno
import fcntl
import json
import os
import shutil
from pathlib import Path

from eesmm_keras._version import __version__
from eesmm_keras.errors import UserError
from eesmm_keras.names import shortened
from eesmm_keras.training.state_files import check_kind
from eesmm_keras.whole_files import write_atomically

# File names are bytes: those that are no UTF-8 go through as they are.
TEXT = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
ROWS, BAD, ABOUT = "rows.csv", "bad.csv", "about.json"
_BAD_HEADER, _LOCK = ("file", "reason"), "lock"


class Work:
    """One answer on its way, see the module. A context; inside it, no other process makes the same.

    Args:
        out: path of the final file.
        asked: dict of plain values: all that the answer follows from.
        header: names of the columns; the first one is that of the file's name.
        names: sequence of str, what the images are called.
        batch_size: images in a batch.
        files: `{name in the unfinished folder: final path}` of what the answer may consist of, files
            or folders.
        overwrite: whether an answer to something else may be replaced.

    Attributes:
        header: see above; it may be told later, before entering.
        several: whether an image may have several rows; it may be told later, before entering.
        start: number of the first image that is still to be asked about.
        rows: images whose rows are there. bad: images that could not be read so far.
        folder: `Path` of the unfinished files; a caller may keep others in it.

    Raises:
        UserError: `out` holds something else, or (on entering) is being made by another process.
    """

    def __init__(self, out, asked, header, names, batch_size, files, overwrite=False):
        self.out, self.asked, self.header = Path(out), asked, tuple(header)
        self.names, self.batch_size, self.overwrite = names, batch_size, overwrite
        self.folder = self.out.with_name(f"partial-{self.out.name}")
        self.files = {BAD: beside(out, BAD), **files, ABOUT: beside(out, ABOUT)}
        self.start = self.rows = self.bad = 0
        self.several = False
        check_kind(self.out, "Choose another --out.")
        check_kind(self.folder, "Choose another --out.", folder=True)

    @property
    def bad_path(self):
        return self.files[BAD]

    def about(self):
        """What OUT.about.json says of a finished answer."""
        return read_about(self.files[ABOUT]) or {}

    def is_finished(self):
        """Whether the answer is there already; then there is nothing to do."""
        about = read_about(self.folder / ABOUT)
        if about is not None:
            if about.get("asked") != self.asked and not self.overwrite:
                self._refuse(about, self.folder)
            if about.get("asked") == self.asked and about.get("complete"):
                self._move()  # it was killed after its last row
                return True
        elif self.out.exists() and not self.overwrite:
            self._refuse(read_about(beside(self.out, ABOUT)), self.out)
            return True
        return False

    def _refuse(self, about, where):
        """Raise a UserError unless `about` is what is asked for now."""
        advice = "Choose another --out, or give --overwrite to begin anew."
        if about is None:
            raise UserError(f"{where} already exists. {advice}")
        there = about.get("asked") or {}
        for key, value in self.asked.items():
            if there.get(key) != value:
                raise UserError(
                    f"{where} is an answer to another question: {key} was "
                    f"{shortened(there.get(key), 100)}, and is {shortened(value, 100)} now. {advice}"
                )

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock(stack.enter_context(open(self.folder / _LOCK, "w")))
            about = read_about(self.folder / ABOUT)
            if about is None or about.get("asked") != self.asked:
                for path in self.folder.iterdir():
                    if path.name != _LOCK:
                        _remove(path)
                write_about(self.folder / ABOUT, {"asked": self.asked})
            self._rows = self._open(stack, ROWS, self.header)
            self._bad = self._open(stack, BAD, _BAD_HEADER)
            self.cut()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        self._stack.close()

    def _lock(self, file):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"Another process writes {self.out} now. Wait until it has finished, or choose another "
                "--out."
            ) from None
        except OSError as error:  # file systems without locks
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise

    def _open(self, stack, name, header):
        path = self.folder / name
        path.touch()
        file = stack.enter_context(path.open("r+", **TEXT))
        self._truncate(file, header, None)
        return file

    def cut(self, most=None):
        """Go back to the end of a batch, with at most `most` images: sets `start`, `rows` and `bad`."""
        size, end = self.batch_size, 0
        self.start = self.rows = kept = number = images = 0
        for count, (here, row) in enumerate(_whole_rows(self.folder / ROWS, len(self.header))):
            if count:
                before, number = number, self._number_of(row[0], max(0, number - self.several)) + 1
                images += number > before
                if most is not None and images > most:
                    break
                if (number - 1) // size * size > self.start:  # the first row of another batch
                    self.start, self.rows, kept = (number - 1) // size * size, images - 1, end
            # Of several rows, nobody knows which is the last one.
            if number % size == 0 and not (count and self.several):
                self.start, self.rows, kept = number, images, here
            end = here
        self._truncate(self._rows, self.header, kept)
        self.bad = kept = number = 0
        for count, (here, row) in enumerate(_whole_rows(self.folder / BAD, len(_BAD_HEADER))):
            number = self._number_of(row[0], number) + 1 if count else 0
            if number > self.start:
                break
            self.bad, kept = count, here
        self._truncate(self._bad, _BAD_HEADER, kept)

    def _number_of(self, name, start):
        """Number of the image of that name, from `start` on."""
        for number in range(start, len(self.names)):
            if self.names[number] == name:
                return number
        raise UserError(
            f"{self.folder} names an image that is not there: {shortened(name)}. Remove that folder to "
            "begin again."
        )

    @staticmethod
    def _truncate(file, header, end):
        if end is not None:
            file.seek(0)
            file.truncate(end)
        file.seek(0, os.SEEK_END)
        if file.tell() == 0:
            csv.writer(file, lineterminator="\n").writerow(header)
            file.flush()

    def add(self, batch, rows):
        """Write what is known of a `Batch`.

        Args:
            rows: for each good image its row, without its name; or a list of rows where there may be
                `several`, at least one.
        """
        # Bad ones first: the rows tell how far the answer has come.
        bad = csv.writer(self._bad, lineterminator="\n")
        bad.writerows((self.names[i], reason) for i, reason in batch.bad.items())
        self._bad.flush()
        named = zip((self.names[batch.first + k] for k in batch.good.tolist()), rows, strict=True)
        lines = ((name, *row) for name, one in named for row in (one if self.several else [one]))
        csv.writer(self._rows, lineterminator="\n").writerows(lines)
        self._rows.flush()
        self.rows, self.bad = self.rows + len(batch.good), self.bad + len(batch.bad)

    def finish(self, **facts):
        """Give everything its final name; `facts`, plain values, go into OUT.about.json."""
        self._stack.close()
        about = {"asked": self.asked, "complete": True, "images": self.rows, "bad_images": self.bad}
        about.update(facts, eesmm_keras_version=__version__)
        if not self.bad:
            (self.folder / BAD).unlink()
        # From here on the same command, given again, only moves what is left.
        write_about(self.folder / ABOUT, about)
        self._move()

    def _move(self):
        about = read_about(self.folder / ABOUT) or {}
        if not about.get("bad_images"):
            beside(self.out, BAD).unlink(missing_ok=True)  # of an earlier answer
        for name, path in self.files.items():
            if (self.folder / name).exists():
                if (self.folder / name).is_dir():
                    _remove(Path(path))  # only an empty folder would be replaced
                os.replace(self.folder / name, path)
        shutil.rmtree(self.folder, ignore_errors=True)


def beside(out, suffix):
    """Path of a file that belongs to an answer: `OUT.suffix`."""
    return Path(out).with_name(f"{Path(out).name}.{suffix}")


def _remove(path):
    """Remove a file, or a folder and what is in it; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _whole_rows(path, columns):
    """`(bytes up to its end, row)` of every row of a CSV that was written to its end."""
    with open(path, "rb") as file:
        end = 0

        def lines():
            nonlocal end
            for line in file:
                if not line.endswith(b"\n"):
                    return  # killed while writing it
                end += len(line)
                yield line.decode("utf-8", "surrogateescape")

        try:
            for row in csv.reader(lines(), strict=True):
                if len(row) != columns:
                    return
                yield end, row
        except csv.Error:
            return


def read_about(path):
    """The dict in a JSON file; None if there is none, {} if it cannot be read."""
    try:
        with open(path, "rb") as file:
            about = json.loads(file.read(2**24))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def write_about(path, about):
    write_atomically(path, lambda file: file.write(json.dumps(about, indent=1).encode()))

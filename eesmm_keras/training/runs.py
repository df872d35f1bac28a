"""A run's folder: it says what was done and holds what came out.

RUN/config.yaml     what the user asked for, what followed from it, versions
RUN/metrics.csv     one line per epoch
RUN/tensorboard/    the same as TensorBoard events
RUN/checkpoints/    what an unfinished run goes on from
RUN/pictures/       reconstructions
RUN/model.keras     the final model; only a finished run has it
RUN/report.html     all of this as one page
RUN/warnings.txt    signs that it goes wrong, if any; see training/health
RUN/bad_images.txt  images that could not be read, if any
RUN/weights.md      what became of the weights that it started from, if any
RUN/nan_step_N.json what a skipped step saw, if any
RUN/tracking.json   what experiment trackers call the run, if any (--track)
RUN/lock            names the process that writes the run now
"""

import contextlib
import csv
import io
import os
import shutil
from dataclasses import replace
from pathlib import Path

from eesmm_keras.errors import UserError
from eesmm_keras.training.run_config import read_config
from eesmm_keras.training.run_lock import RunLock
from eesmm_keras.training.state_files import check_kind, read_text
from eesmm_keras.whole_files import write_atomically

_LOCK = "lock"
# Settings that are named where many differ.
_SHOWN = 5


class Run:
    """A run's folder, see the module.

    Args:
        path: of the folder.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.config_path = self.path / "config.yaml"
        self.model_path = self.path / "model.keras"
        self.pictures = self.path / "pictures"
        self.checkpoints = self.path / "checkpoints"
        self.metrics_path = self.path / "metrics.csv"
        self.bad_images_path = self.path / "bad_images.txt"
        self.warnings_path = self.path / "warnings.txt"
        self.tracking_path = self.path / "tracking.json"
        self.tensorboard_path = self.path / "tensorboard"

    @property
    def exists(self):
        return self.config_path.is_file()

    def begun_with(self, asked):
        """Config of the run in the folder, if the same command began it.

        Args:
            asked: `RunConfig` of the command that is given now.

        Returns:
            `RunConfig`, or None: there is no run yet.

        Raises:
            UserError: the folder holds a run with other settings, or a damaged one, or other files.
        """
        check_kind(self.path, "Choose another --out.", folder=True)
        self._check_kinds()
        if not self.exists:
            self._check_free()
            return None
        there = read_config(self.config_path)
        self._refuse(there.differences(asked), asked.task)
        return there

    @contextlib.contextmanager
    def opened(self, asked, derived, say=print):
        """The folder, made and locked for this process; a context.

        Args:
            asked: `RunConfig` of the command that is given now. derived: dict that it is written with.
            say: takes lines for the screen.

        Yields:
            bool: whether there is anything left to do: False for a finished run.

        Raises:
            UserError: another process writes this run; the folder cannot be written; or see
                `begun_with`.
        """
        self.begun_with(asked)
        if self.model_path.is_file():
            yield False
            return
        with contextlib.ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(RunLock(self.path / _LOCK))
                # Another process may have finished in the meantime.
                begun = self.begun_with(asked)
                if begun is None:
                    replace(asked, derived=derived).write(self.config_path)
                unfinished = not self.model_path.is_file()
                if unfinished:
                    self.pictures.mkdir(exist_ok=True)
                    self.checkpoints.mkdir(exist_ok=True)
            except OSError as error:
                raise UserError(
                    f"Cannot write to {self.path}: {error.strerror}. Choose another --out."
                ) from error
            if lock.left_by and unfinished:
                say(f"The run was left by {lock.left_by}, which ended without a word.")
            yield unfinished

    def _refuse(self, other, task):
        """Raise a UserError if there are differences, a dict from a setting to a text."""
        if not other:
            return
        shown = [*list(other.values())[:_SHOWN], *(["..."] if len(other) > _SHOWN else [])]
        longer = ""
        if other.keys() == {"epochs"}:
            option = "--init-from" if task == "pretrain" else "--weights"
            longer = (
                " A run keeps its number of epochs, over which its learning rate falls. To train "
                f"longer, let it finish and begin another one from it: {option} {self.path} --out "
                "ANOTHER."
            )
        raise UserError(
            f"{self.path} already holds a run, with other settings: {'; '.join(shown)}. Choose "
            "another --out, or give the command that the run was begun with to go on with it."
            f"{longer}"
        )

    def _check_free(self):
        """Refuse a folder with files that are no run's; those of a killed process do not count."""
        try:
            names = [entry.name for entry in self.path.iterdir()] if self.path.is_dir() else []
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be read: {error.strerror}. Choose another --out."
            ) from error
        if any(name != _LOCK and not name.startswith("partial-") for name in names):
            lost = " and has no config.yaml" if self.checkpoints.name in names else ""
            raise UserError(f"{self.path} is not empty{lost}. Choose another --out.")

    def _check_kinds(self):
        """Refuse a folder in the place of a file and the like, before anything is opened."""
        advice = "Move it away and give the same command again; the rest of the run is untouched."
        for path in (self.config_path, self.model_path, self.metrics_path, self.bad_images_path,
                     self.warnings_path, self.tracking_path, self.path / _LOCK,
                     self._unfinished_model):  # fmt: skip
            check_kind(path, advice)
        for path in (self.checkpoints, self.pictures, self.tensorboard_path):
            check_kind(path, advice, folder=True)
        if self.metrics_path.is_file():
            self._read_metrics()

    @property
    def _unfinished_model(self):
        return self.path / "unfinished.keras"

    def save_model(self, model):
        """Write model.keras, complete or not at all.

        Raises:
            UserError: the disk is full, or the folder is gone.
        """
        whole = self._unfinished_model
        try:
            model.save(whole)
            with open(whole, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(whole, self.model_path)
        except OSError as error:
            raise UserError(
                f"Cannot write {self.model_path}: {error}. Make room (or restore the folder) and "
                "give the same command again; the last checkpoint is kept."
            ) from error

    def write_text(self, name, text):
        """Write a text beside config.yaml, complete or not at all.

        Raises:
            UserError: it cannot be written.
        """
        try:
            write_atomically(self.path / name, lambda file: file.write(text.encode()))
        except OSError as error:
            raise UserError(
                f"Cannot write {self.path / name}: {error}. Make room and give the same command again."
            ) from error

    def finish(self, model):
        """Write model.keras; the checkpoints have then done their work."""
        self.save_model(model)
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def _read_metrics(self):
        advice = (
            "Move it away and give the same command again: the run goes on and begins a new one; its "
            "checkpoints are untouched."
        )
        return read_text(self.metrics_path, advice)

    def forget_after(self, epochs):
        """Take back what metrics.csv tells of later epochs: the run is there again."""
        if not self.metrics_path.is_file():
            return
        header, *rows = self._read_metrics().splitlines(keepends=True) or [""]
        if not header.endswith("\n"):
            # Killed before the first line was whole.
            self.metrics_path.unlink()
            return
        wanted = [str(epoch + 1) for epoch in range(epochs)]
        kept = [row for row in rows if row.split(",")[0] in wanted and row.endswith("\n")]
        if len(kept) < len(rows):
            text = "".join([header, *kept])
            write_atomically(self.metrics_path, lambda file: file.write(text.encode()))

    def metrics(self):
        """The lines of metrics.csv, a list of `{name: float}`; what is no number is left out."""
        return [
            {name: x for name, text in line.items() if (x := _number(text)) is not None}
            for line in self._metrics_lines()
        ]

    def last_metrics(self):
        """The last line of metrics.csv as a dict of strings; empty if there is none."""
        return [{}, *self._metrics_lines()][-1]

    def _metrics_lines(self):
        if not self.metrics_path.is_file():
            return []
        return list(csv.DictReader(io.StringIO(self._read_metrics(), newline="")))

    def warnings(self):
        """What warnings.txt tells: a list of `(name of the sign, when, text)`."""
        if not self.warnings_path.is_file():
            return []
        text = read_text(self.warnings_path, "Move it away and give the same command again.")
        lines = (line.split("\t") for line in text.splitlines())
        return [tuple(line) for line in lines if len(line) == 3]

    def add_warning(self, name, when, text):
        """Put a line into warnings.txt."""
        with open(self.warnings_path, "a", encoding="utf-8") as file:
            file.write(f"{name}\t{when}\t{text}\n")


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


_WANTED = "Give a run's folder, a .keras file or public weights (eesmm docs weights)."


def find_model_file(where):
    """Path of the `.keras` file of a finished run's folder, or the file itself.

    Raises:
        UserError: nothing there, or a run that has not finished.
    """
    path = Path(where)
    if path.is_file():
        if path.suffix != ".keras":
            raise UserError(f"{where} is no .keras file. {_WANTED}")
        return path
    if not path.exists():
        raise UserError(f"{where} does not exist. {_WANTED}")
    run = Run(path)
    if run.model_path.is_file():
        return run.model_path
    if run.exists:
        raise UserError(
            f"The run in {where} has not finished: there is no model.keras. The command that began "
            "it goes on with it."
        )
    raise UserError(f"{where} is no run: it has neither config.yaml nor model.keras.")

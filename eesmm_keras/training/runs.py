"""A run's folder: it says what was done and holds what came out.

RUN/config.yaml     every setting that was used, versions
RUN/metrics.csv     one line an epoch
RUN/tensorboard/    the same as TensorBoard events
RUN/checkpoints/    what an unfinished run goes on from
RUN/pictures/       reconstructions
RUN/model.keras     the final model; only a finished run has it
RUN/bad_images.txt  images that could not be read, if any
RUN/nan_step_N.json what a skipped step saw, if any
"""

import csv
import importlib.metadata
import os
import shutil
from pathlib import Path

import yaml

from eesmm_keras.errors import UserError
from eesmm_keras.training.checkpoints import write_atomically
from eesmm_keras.training.settings import FREE

_PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "keras-cv", "numpy", "pillow")


class Run:
    """A run's folder, see the module.

    Args:
        path: of the folder.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.model_path = self.path / "model.keras"
        self.pictures = self.path / "pictures"
        self.checkpoints = self.path / "checkpoints"
        self.metrics_path = self.path / "metrics.csv"
        self.tensorboard_path = self.path / "tensorboard"

    @property
    def exists(self):
        return (self.path / "config.yaml").is_file()

    def begin(self, kind, settings):
        """Make the folder and write config.yaml, or check that an unfinished run is the same one.

        Returns:
            bool: whether there is anything left to do: False for a finished run.

        Raises:
            UserError: the folder holds a run with other settings, or other files, or cannot be
                written.
        """
        try:
            if self.exists:
                self._check_same(kind, settings)
                return not self.model_path.is_file()
            if self.path.is_dir() and any(
                not entry.name.startswith("partial-") for entry in self.path.iterdir()
            ):
                raise UserError(f"{self.path} is not empty. Choose another --out.")
            self.path.mkdir(parents=True, exist_ok=True)
            self._write_config(kind, settings)
            return True
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.path}: {error.strerror}. Choose another --out."
            ) from error
        finally:
            if self.exists and not self.model_path.is_file():
                self.pictures.mkdir(exist_ok=True)
                self.checkpoints.mkdir(exist_ok=True)

    def _check_same(self, kind, settings):
        import keras

        config = self.config()
        there = {"task": config["task"], "backend": config["backend"], **config["settings"]}
        here = {"task": kind, "backend": keras.backend.backend(), **settings}
        other = [
            f"{key} is {there.get(key)!r} there and {here.get(key)!r} here"
            for key in sorted(there.keys() | here.keys())
            if key not in FREE and there.get(key) != here.get(key)
        ]
        if other:
            raise UserError(
                f"{self.path} already holds a run, with other settings: {'; '.join(other)}. Choose "
                "another --out, or give the command that the run was begun with to go on with it."
            )

    def _write_config(self, kind, settings):
        import keras

        versions = {"eesmm-keras": importlib.metadata.version("eesmm-keras")}
        for package in _PACKAGES:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
        config = {
            "task": kind,
            "backend": keras.backend.backend(),
            "versions": versions,
            "settings": settings,
        }
        text = yaml.safe_dump(config, sort_keys=False)
        write_atomically(self.path / "config.yaml", lambda file: file.write(text.encode()))

    def config(self):
        """The dict in config.yaml."""
        try:
            return yaml.safe_load((self.path / "config.yaml").read_text())
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise UserError(f"{self.path / 'config.yaml'} cannot be read: {error}") from error

    def save_model(self, model):
        """Write model.keras, complete or not at all.

        Raises:
            UserError: the disk is full, or the folder is gone.
        """
        whole = self.path / "unfinished.keras"
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

    def finish(self, model):
        """Write model.keras; the checkpoints have then done their work."""
        self.save_model(model)
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def forget_after(self, epochs):
        """Take back what metrics.csv tells of later epochs: the run is there again."""
        if not self.metrics_path.is_file():
            return
        header, *rows = self.metrics_path.read_text().splitlines(keepends=True) or [""]
        if not header.endswith("\n"):
            # Killed before the first line was whole.
            self.metrics_path.unlink()
            return
        wanted = [str(epoch + 1) for epoch in range(epochs)]
        kept = [row for row in rows if row.split(",")[0] in wanted and row.endswith("\n")]
        if len(kept) < len(rows):
            text = "".join([header, *kept])
            write_atomically(self.metrics_path, lambda file: file.write(text.encode()))

    def last_metrics(self):
        """The last line of metrics.csv as a dict of strings; empty if there is none."""
        if not self.metrics_path.is_file():
            return {}
        with open(self.metrics_path, newline="") as file:
            return ([{}, *csv.DictReader(file)])[-1]


def find_model_file(where):
    """Path of the `.keras` file of a finished run's folder, or the file itself.

    Raises:
        UserError: nothing there, or a run that has not finished.
    """
    path = Path(where)
    if path.is_file():
        if path.suffix != ".keras":
            raise UserError(f"{where} is no .keras file. Give a run's folder or a .keras file.")
        return path
    if not path.exists():
        raise UserError(f"{where} does not exist. Give a run's folder or a .keras file.")
    run = Run(path)
    if run.model_path.is_file():
        return run.model_path
    if run.exists:
        raise UserError(
            f"The run in {where} has not finished: there is no model.keras. The command that began "
            "it goes on with it."
        )
    raise UserError(f"{where} is no run: it has neither config.yaml nor model.keras.")

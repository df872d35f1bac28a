"""A run's folder: it says what was done and holds what came out.

RUN/config.yaml     every setting that was used, versions
RUN/metrics.csv     one line an epoch
RUN/tensorboard/    the same as TensorBoard events
RUN/checkpoints/    last.keras, while training
RUN/pictures/       reconstructions
RUN/model.keras     the final model; only a finished run has it
RUN/bad_images.txt  images that could not be read, if any
"""

import importlib.metadata
import os
from pathlib import Path

import yaml

from eesmm_keras.errors import UserError

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
        self.checkpoint_path = self.path / "checkpoints" / "last.keras"
        self.metrics_path = self.path / "metrics.csv"
        self.tensorboard_path = self.path / "tensorboard"

    @property
    def exists(self):
        return (self.path / "config.yaml").is_file()

    def create(self, kind, settings):
        """Make the folder and write config.yaml.

        Raises:
            UserError: the folder holds another run or other files, or cannot be written.
        """
        if self.exists:
            raise UserError(
                f"{self.path} already holds a run. Choose another --out, or remove it; to go on "
                f"from its weights, use --init-from {self.path} with another --out."
            )
        if self.path.is_dir() and any(self.path.iterdir()):
            raise UserError(f"{self.path} is not empty. Choose another --out.")
        try:
            for folder in (self.path, self.pictures, self.checkpoint_path.parent):
                folder.mkdir(parents=True, exist_ok=True)
            self._write_config(kind, settings)
        except OSError as error:
            raise UserError(
                f"Cannot write to {self.path}: {error.strerror}. Choose another --out."
            ) from error

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
        (self.path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def config(self):
        """The dict in config.yaml."""
        return yaml.safe_load((self.path / "config.yaml").read_text())

    def save_model(self, model):
        """Write model.keras, complete or not at all."""
        partial = self.path / "partial.keras"
        model.save(partial)
        os.replace(partial, self.model_path)


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
        hint = ""
        if run.checkpoint_path.is_file():
            hint = f" Its last checkpoint is {run.checkpoint_path}."
        raise UserError(f"The run in {where} has not finished: there is no model.keras.{hint}")
    raise UserError(f"{where} is no run: it has neither config.yaml nor model.keras.")

"""config.yaml of a run: what its user asked for, and what followed from that and from the data."""

import importlib.metadata
import os
from dataclasses import dataclass, field

import yaml

from eesmm_keras.errors import UserError
from eesmm_keras.names import parse_yaml, shortened
from eesmm_keras.training.state_files import read_text
from eesmm_keras.whole_files import write_atomically

_PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "keras-cv", "numpy", "pillow")
# What may change when a run goes on: it does not change what is computed. The folder may be moved.
MAY_CHANGE_ON_RESUME = frozenset((
    "out", "gpus", "devices", "coordinator", "num_hosts", "host_index", "checkpoint_every",
    "checkpoint_keep", "max_bad_steps", "max_bad_images", "pictures_every", "track",
))  # fmt: skip
# What is told before other differences: with another task, nearly all settings differ.
_FIRST = ("task", "backend")
# Settings that name files or folders: one of them can be written in many ways.
_PATHS = ("data", "data_dir", "probe_data", "init_from", "weights")
# Earlier releases wrote these into the settings where nobody had asked for them.
_ONCE_FILLED_IN = ("batch_size", "steps_per_epoch", "image_size", "backbone")


@dataclass(frozen=True)
class RunConfig:
    """What config.yaml holds.

    Attributes:
        task: "pretrain" or "finetune". backend: Keras' name of it.
        settings: dict, what the user asked for, in plain YAML types.
        derived: dict of numbers that followed from the settings, the data and the devices, such as
            "batch_size" and "steps_per_epoch"; a run keeps them when it goes on.
        paths: dict from a setting to the absolute path that it meant.
        versions: dict of packages.
        defaults: dict of the settings that a file of an earlier release does not know.
    """

    task: str
    backend: str
    settings: dict
    derived: dict
    paths: dict
    versions: dict
    defaults: dict = field(default_factory=dict)
    _old: bool = False

    def write(self, path):
        """Write the file, complete or not at all. Raises an OSError."""
        content = {
            "task": self.task, "backend": self.backend, "versions": self.versions,
            "settings": self.settings, "derived": self.derived, "paths": self.paths,
        }  # fmt: skip
        text = yaml.safe_dump(content, sort_keys=False)
        write_atomically(path, lambda file: file.write(text.encode()))

    def differences(self, asked):
        """What another command asks for that this run was not begun with.

        Args:
            asked: `RunConfig` of the command.

        Returns:
            dict from a setting to what it is there and here; empty where the command goes on with
            this run.
        """
        settings = {**asked.defaults, **self.settings}
        there = {"task": self.task, "backend": self.backend, **settings}
        here = {"task": asked.task, "backend": asked.backend, **asked.settings}
        return {
            key: f"{key} is {shortened(there.get(key))} there and {shortened(here.get(key))} here"
            for key in [*_FIRST, *sorted((there.keys() | here.keys()) - set(_FIRST), key=str)]
            if key not in MAY_CHANGE_ON_RESUME
            and there.get(key) != here.get(key)
            and not self._is_same_path(key, asked)
            and not self._was_filled_in(key, here.get(key))
        }

    def _is_same_path(self, key, asked):
        return key in self.paths and self.paths[key] == asked.paths.get(key)

    def _was_filled_in(self, key, asked):
        """Whether the value in an earlier release's file may stand where the user asked for another."""
        if not self._old or key not in _ONCE_FILLED_IN:
            return False
        # A small data set made the batches smaller than what was asked for.
        return asked is None or (key == "batch_size" and self.settings[key] < asked)


def asked_config(task, settings, defaults=(), backend=None):
    """`RunConfig` of a command that is given now, without derived numbers.

    Args:
        task: "pretrain" or "finetune". settings: dict in plain YAML types.
        defaults: dict of the settings where nobody asks for anything.
        backend: Keras' name of it; None: the one in use.
    """
    # A name such as "digits" means no file unless one of that name is there.
    paths = {
        key: os.path.abspath(settings[key])
        for key in _PATHS
        if isinstance(settings.get(key), str) and os.path.exists(settings[key])
    }
    versions = {}
    for package in ("eesmm-keras", *_PACKAGES):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if backend is None:
        import keras

        backend = keras.backend.backend()
    return RunConfig(task, backend, settings, {}, paths, versions, defaults=dict(defaults))


def read_config(path):
    """`RunConfig` in a file, also in one of an earlier release.

    Raises:
        UserError: the file is damaged; the message tells what to do.
    """
    advice = "Restore it from a copy, or choose another --out; the rest of the run is untouched."
    text = read_text(path, advice)
    try:
        content = parse_yaml(text, str(path))
    except UserError as error:
        raise UserError(f"{error}. {advice}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{path} is damaged: it must hold task, backend and settings, and holds "
            f"{shortened(content)}. {advice}"
        )
    expected = {
        "task": (str, None), "backend": (str, None), "settings": (dict, None),
        "derived": (dict, {}), "paths": (dict, {}), "versions": (dict, {}),
    }  # fmt: skip
    found = {}
    for key, (kind, default) in expected.items():
        found[key] = content.get(key, default)
        if not isinstance(found[key], kind):
            what = {str: "text", dict: "a mapping"}[kind]
            raise UserError(
                f"{path} is damaged: {key} must be {what}, and is {shortened(found[key])}. {advice}"
            )
    old = "derived" not in content
    numbers = found["settings"] if old else found["derived"]
    for key in ("batch_size", "steps_per_epoch"):
        if type(numbers.get(key)) is not int or numbers[key] < 1:
            raise UserError(
                f"{path} is damaged: {key} must be a whole number from 1, and is "
                f"{shortened(numbers.get(key))}. {advice}"
            )
    if old:
        found["derived"] = {key: numbers.get(key) for key in _ONCE_FILLED_IN}
    return RunConfig(**found, _old=old)

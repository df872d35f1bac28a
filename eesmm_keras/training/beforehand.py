"""What is wrong with a command, as far as that shows before Keras and its backend are imported.

Their import takes seconds, more than a user should wait to be told of a misspelt name. The command
checks everything again, and what is left, when they are there.
"""

import os
import sys

from eesmm_keras import backbones
from eesmm_keras.converters.source import is_foreign
from eesmm_keras.data.sources import find_source
from eesmm_keras.tasks import TASKS
from eesmm_keras.training.chosen import is_automatic, recorded
from eesmm_keras.training.run_config import asked_config
from eesmm_keras.training.runs import Run, find_model_file
from eesmm_keras.training.settings import as_dict, resolve


def check_settings(kind, recipe, assignments, options):
    """Check the settings of a run: names, values, and whether data and weights are there.

    Args: see `settings.resolve`.

    Of methods, encoders and tasks that are plug-ins, arguments, presets and defaults are not known.

    Raises:
        UserError: what `resolve`, `backbones.preset_arguments` or `check_places` raise.
    """
    settings = resolve(kind, recipe, assignments, options, imports=False)
    if settings.backbone:
        backbones.check_name(settings.backbone)
    weights = settings.init_from if kind == "pretrain" else settings.weights
    check_places(settings.data, weights=weights if weights != "none" else None)
    check_places(getattr(settings, "probe_data", None))


def check_folder(kind, recipe, assignments, options):
    """Check that the folder of a run is free, or holds a run that the command goes on with.

    Args: see `settings.resolve`.

    Raises:
        UserError: see `Run.begun_with`.
    """
    settings = resolve(kind, recipe, assignments, options, imports=False)
    if kind == "pretrain" and is_automatic(recipe, settings):
        chosen = recorded(settings)
        settings = resolve(kind, recipe, assignments, options, base=chosen, imports=False)
    run, backend = Run(settings.out), _backend()
    task = getattr(settings, "task_name", None)
    if run.exists and (not backend or (task and TASKS.outline(task) is None)):
        return  # what the command asks for is not known yet
    run.begun_with(asked_config(kind, as_dict(settings), as_dict(type(settings)()), backend or ""))


def _backend():
    """Name of the backend; None as long as nobody has said one."""
    keras = sys.modules.get("keras")
    return keras.backend.backend() if keras else os.environ.get("KERAS_BACKEND")


def check_places(data=None, images=None, weights=None):
    """Check that there is what a command reads. All may be None.

    Args:
        data: see `open_source`. images: see `data.stream.open_files`.
        weights: a run or a `.keras` file; public weights and ONNX files are not looked at.

    Raises:
        UserError: see `find_source` and `find_model_file`.
    """
    if data:
        find_source(data)
    if images and not os.path.exists(images):
        find_source(images)
    if weights and not is_foreign(weights) and not weights.lower().endswith(".onnx"):
        find_model_file(weights)

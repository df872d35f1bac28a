"""Settings of a run. Each is declared in one line of `fields`, with its type, range and help."""

from eesmm_keras.training.settings.fields import FinetuneSettings, PretrainSettings, as_dict
from eesmm_keras.training.settings.kinds import parse_interval
from eesmm_keras.training.settings.recipes import read_recipe, recipe_names
from eesmm_keras.training.settings.resolving import KINDS, method_arguments, resolve

__all__ = [
    "KINDS",
    "FinetuneSettings",
    "PretrainSettings",
    "as_dict",
    "method_arguments",
    "parse_interval",
    "read_recipe",
    "recipe_names",
    "resolve",
]

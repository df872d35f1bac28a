"""Recipes: YAML files of settings, in this package or the user's own."""

from importlib import resources
from pathlib import Path

from eesmm_keras.errors import UserError
from eesmm_keras.names import parse_yaml, shortened, unknown_name, yaml_names
from eesmm_keras.training.settings.kinds import check_path

_LARGEST = 2**20


def recipe_names():
    """Names of the recipes that come with the package."""
    return yaml_names(resources.files("eesmm_keras.recipes"))


def read_recipe(name):
    """Recipe by name, or by the path of a YAML file: `(dict of settings, its text)`.

    Raises:
        UserError: no such recipe, or not a YAML mapping.
    """
    shown = shortened(name)
    if str(name).endswith((".yaml", ".yml")):
        text = _read_text(name, shown)
    elif name in recipe_names():
        text = resources.files("eesmm_keras.recipes").joinpath(f"{name}.yaml").read_text("utf-8")
    else:
        raise UserError(unknown_name("recipe", name, recipe_names()) + " Or give a .yaml file.")
    content = parse_yaml(text, f"Recipe {shown}")
    if not isinstance(content, dict):
        raise UserError(f"Recipe {shown} must be a mapping of settings, one `key: value` per line.")
    return content, text


def _read_text(name, shown):
    try:
        path = Path(check_path(str(name)))
        if not path.is_file():
            raise UserError(f"No recipe file {shown}.")
        if path.stat().st_size > _LARGEST:
            raise UserError(f"{shown} is no recipe: it has more than {_LARGEST} bytes.")
        return path.read_text(encoding="utf-8")
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"Recipe {shown} is not valid text: {shortened(error)}.") from error

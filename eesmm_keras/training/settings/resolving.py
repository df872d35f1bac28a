"""Settings of a run: defaults, then a recipe, then single values; later ones win."""

import inspect

from eesmm_keras.errors import UserError
from eesmm_keras.names import shortened, split_assignment, unknown_name
from eesmm_keras.training.settings.fields import FinetuneSettings, PretrainSettings
from eesmm_keras.training.settings.recipes import read_recipe

KINDS = {"pretrain": PretrainSettings, "finetune": FinetuneSettings}


def resolve(kind, recipe=None, assignments=(), options=None, base=None, imports=True):
    """Settings of a run from all that a user said; later sources win.

    Args:
        kind: "pretrain" or "finetune".
        recipe: name or file, see `read_recipe`.
        assignments: strings `key=value`, the value in YAML; of two for one key the later one counts.
        options: dict of explicit options.
        base: dict of settings in the place of the defaults, below the recipe.
        imports: bool; False: no method and no task is imported. Then plug-ins of these take any
            argument and have no defaults: what is wrong with them is not found.

    Returns:
        `PretrainSettings` or `FinetuneSettings`.

    Raises:
        UserError: an unknown key (the nearest known one is named), or a value of the wrong kind.
    """
    values = _flat(base or {})
    told = {}
    if recipe:
        content, _ = read_recipe(recipe)
        task = content.pop("task", kind)
        if task != kind:
            raise UserError(
                f"Recipe {recipe!r} is for `eesmm {shortened(task).strip(chr(39))}`, not for "
                f"`eesmm {kind}`."
            )
        told.update(_flat(content))
    for assignment in assignments:
        told.update(_flat(dict([split_assignment(assignment, "--set")])))
    told.update(_flat(options or {}))
    return _build(kind, {**values, **_of_task(told.get("task_name"), imports), **told}, imports)


def _of_task(name, imports):
    """The defaults that a task has instead of others; none where no (known) task is named."""
    from eesmm_keras.tasks import TASKS

    if name not in TASKS.names():
        return {}
    if imports:
        return TASKS.get(name).defaults
    outline = TASKS.outline(name)
    return outline.values.get("defaults", {}) if outline else {}


def _flat(values):
    """Settings with the entries of `method_args` beside the others, so that later ones win."""
    values = dict(values)
    method_args = values.pop("method_args", None) or {}
    if not isinstance(method_args, dict):
        raise UserError(f"Setting method_args must be a mapping, got {shortened(method_args)}.")
    return {**values, **method_args}


def _build(kind, values, imports):
    cls = KINDS[kind]
    # `_flat` has put its entries beside the others.
    own = set(cls.model_fields) - {"method_args"}
    extra = ()
    if kind == "pretrain":
        method = values.get("method", cls.model_fields["method"].default)
        extra = method_arguments(method) if imports else _not_imported(method)
    for key in values:
        if key not in own and extra is not None and key not in extra:
            raise UserError(unknown_name("setting", key, {*own, *extra}))
    settings = {key: value for key, value in values.items() if key in own}
    method_args = {key: value for key, value in values.items() if key not in own}
    return cls(**settings, **({"method_args": method_args} if kind == "pretrain" else {}))


def _not_imported(method):
    from eesmm_keras import methods

    _check_text(method)
    return methods.argument_names(method)


def _check_text(method):
    if not isinstance(method, str):
        raise UserError(f"Setting method must be text, got {shortened(method)}.")


def method_arguments(method):
    """Names and defaults of a method's own constructor arguments.

    Raises:
        UserError: no such method.
    """
    from eesmm_keras import methods

    _check_text(method)
    try:
        parameters = inspect.signature(methods.get(method)).parameters
    except UserError:
        raise
    except ValueError as error:
        raise UserError(str(error)) from error
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if name not in methods.NO_SETTINGS
    }

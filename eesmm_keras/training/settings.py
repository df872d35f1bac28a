"""Settings of a run: defaults, then a recipe, then single values, each checked by name and type."""

import contextlib
import dataclasses
import inspect
import reprlib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.probes import PROBES
from eesmm_keras.names import parse_yaml, unknown_name

_LARGEST_RECIPE = 2**20


@dataclass
class Schedule:
    """Fields that pre-training and fine-tuning share.

    `learning_rate`, `min_learning_rate` and `warmup_learning_rate` hold for 512 images a step and
    are scaled linearly with the effective batch, `batch_size * accumulate` (Swin, SimMIM). `devices`
    ("cpu:2", "gpu:4"), or `gpus`, a number: those of each host; None takes what the backend takes by
    default. `coordinator`, `num_hosts`, `host_index`: see `cluster.find_cluster`. `limit`: train on so
    many images only, chosen by `seed`, every class alike. `checkpoint_every`: steps ("500"), minutes
    ("10 minutes") or epochs ("1 epoch"); the last `checkpoint_keep` are kept. `max_bad_steps`: skipped
    steps in a row (losses or gradients that are not finite) before the run goes back to the last
    checkpoint.

    `min_coverage` (None: 0.95), `adapt_channels` (None: "mean"), `adapt_tables` (None: "bicubic"):
    how the weights that a run starts from are made to fit, see `weights.load_weights_from`.

    `max_bad_images`: so many images that cannot be read are skipped, one more ends the run; None is
    1 % of the images and at least 100. `max_image_pixels`: width x height of the largest picture
    that is decoded; None is Pillow's limit. `follow_links`: read what links lead to outside `data`.
    """

    data: str = ""
    out: str = ""
    data_dir: str | None = None
    image_size: int | None = None
    limit: int | None = None
    max_bad_images: int | None = None
    max_image_pixels: int | None = None
    follow_links: bool = False
    epochs: int = 100
    batch_size: int = 64
    accumulate: int = 1
    min_coverage: float | None = None
    adapt_channels: str | None = None
    adapt_tables: str | None = None
    steps_per_epoch: int | None = None
    gpus: int | None = None
    devices: str | None = None
    coordinator: str | None = None
    num_hosts: int | None = None
    host_index: int | None = None
    precision: str = "float32"
    seed: int = 0
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-6
    warmup_learning_rate: float = 1e-6
    warmup_epochs: float = 5.0
    weight_decay: float = 0.05
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    layer_decay: float = 1.0
    clip_norm: float | None = None
    crop_scale: tuple = (0.2, 1.0)
    crop_ratio: tuple = (3 / 4, 4 / 3)
    flip: bool = True
    checkpoint_every: str = "10 minutes"
    checkpoint_keep: int = 2
    max_bad_steps: int = 10


# What may change when a run goes on: it does not change what is computed.
FREE = (
    "gpus", "devices", "coordinator", "num_hosts", "host_index", "checkpoint_every",
    "checkpoint_keep", "max_bad_steps", "max_bad_images", "pictures_every",
)  # fmt: skip


@dataclass
class PretrainSettings(Schedule):
    """What `eesmm pretrain` can be told. `method_args` are arguments of the method's constructor.

    With `probe_data`, labelled images, the frozen features are evaluated every `probe_every` epochs.
    """

    method: str = "eesmm"
    backbone: str | None = None
    init_from: str | None = None
    pictures_every: int = 10
    probe_data: str | None = None
    probe_mode: str = "knn"
    probe_every: int = 10
    method_args: dict = field(default_factory=dict)


@dataclass
class FinetuneSettings(Schedule):
    """What `eesmm finetune` can be told. `weights`: a run, a file, or "none" for a random start.

    `task_name`: what is learnt, a member of the family of tasks; None: "image_classifier".
    `label_share`: share of every class's training images that is used, at least one image each.
    `val_limit`: validate on so many images only, every class alike.
    """

    weights: str = ""
    task_name: str | None = None
    backbone: str | None = None
    drop_path: float = 0.1
    label_share: float = 1.0
    val_limit: int | None = None
    label_smoothing: float = 0.1
    ema_momentum: float | None = None
    rand_augment_magnitude: float | None = None
    mixup_alpha: float | None = None
    cutmix_alpha: float | None = None
    erasing: float = 0.0
    crop_scale: tuple = (0.08, 1.0)


KINDS = {"pretrain": PretrainSettings, "finetune": FinetuneSettings}


def recipe_names():
    """Names of the recipes that come with the package."""
    return sorted(
        path.name.removesuffix(".yaml")
        for path in resources.files("eesmm_keras.recipes").iterdir()
        if path.name.endswith(".yaml")
    )


def read_recipe(name):
    """Recipe by name, or by the path of a YAML file: `(dict of settings, its text)`.

    Raises:
        UserError: no such recipe, or not a YAML mapping.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise UserError(f"No recipe file {name!r}.")
        text = _read_text(path)
    elif name in recipe_names():
        text = resources.files("eesmm_keras.recipes").joinpath(f"{name}.yaml").read_text("utf-8")
    else:
        raise UserError(unknown_name("recipe", name, recipe_names()) + " Or give a .yaml file.")
    content = parse_yaml(text, f"Recipe {name!r}")
    if not isinstance(content, dict):
        raise UserError(f"Recipe {name!r} must be a mapping of settings, one `key: value` a line.")
    return content, text


def _read_text(path):
    if path.stat().st_size > _LARGEST_RECIPE:
        raise UserError(f"{path} is no recipe: it has more than {_LARGEST_RECIPE} bytes.")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Recipe '{path}' is not valid text: {error}") from error


def resolve(kind, recipe=None, assignments=(), options=None):
    """Settings of a run from all that a user said; later sources win.

    Args:
        kind: "pretrain" or "finetune".
        recipe: name or file, see `read_recipe`.
        assignments: strings `key=value`, the value in YAML.
        options: dict of explicit options.

    Returns:
        `PretrainSettings` or `FinetuneSettings`.

    Raises:
        UserError: an unknown key (the nearest known one is named), or a value of the wrong type.
    """
    values = {}
    if recipe:
        content, _ = read_recipe(recipe)
        task = content.pop("task", kind)
        if task != kind:
            raise UserError(f"Recipe {recipe!r} is for `eesmm {task}`, not for `eesmm {kind}`.")
        values.update(_flat(content))
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise UserError(f"--set takes key=value, got {assignment!r}.")
        value = parse_yaml(text, f"The value of --set {assignment}")
        values.update(_flat({key.strip(): value}))
    values.update(_flat(options or {}))
    return _build(kind, values)


def _flat(values):
    """Settings with the entries of `method_args` beside the others, so that later ones win."""
    values = dict(values)
    method_args = values.pop("method_args", None) or {}
    if not isinstance(method_args, dict):
        raise UserError(f"Setting method_args must be a mapping, got {reprlib.repr(method_args)}.")
    return {**values, **method_args}


def _build(kind, values):
    cls = KINDS[kind]
    # `_flat` has put its entries beside the others.
    fields = {f.name: f for f in dataclasses.fields(cls) if f.name != "method_args"}
    extra = {}
    if kind == "pretrain":
        extra = method_arguments(values.get("method", PretrainSettings.method))
    known = {**fields, **extra}
    settings, method_args = {}, {}
    for key, value in values.items():
        if key not in known:
            raise UserError(unknown_name("setting", key, known))
        if key in fields:
            settings[key] = _convert(key, value, fields[key])
        else:
            method_args[key] = value
    if kind == "pretrain":
        settings["method_args"] = method_args
    built = cls(**settings)
    _check(built)
    return built


def method_arguments(method):
    """Names and defaults of a method's own constructor arguments."""
    from eesmm_keras import methods

    if not isinstance(method, str):
        raise UserError(f"Setting method must be text, got {reprlib.repr(method)}.")
    try:
        parameters = inspect.signature(methods.get(method)).parameters
    except ValueError as error:
        raise UserError(str(error)) from error
    reserved = {"self", "backbone", "seed", "kwargs"}
    return {name: p.default for name, p in parameters.items() if name not in reserved}


def _convert(key, value, spec):
    """`value` as the type of the field, or a UserError."""
    kinds = str(spec.type).replace("<class '", "").replace("'>", "").split(" | ")
    if value is None and "None" in kinds:
        return None
    kind = kinds[0]
    number = isinstance(value, float) or (type(value) is int and abs(value) < 2**63)
    if kind == "float" and isinstance(value, str):
        # YAML reads 1e-4 (without a dot) as text.
        with contextlib.suppress(ValueError):
            value, number = float(value), True
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and number and float(value).is_integer():
        return int(value)
    if kind == "float" and number:
        return float(value)
    if kind == "str" and isinstance(value, str):
        return value
    if key == "checkpoint_every" and number:
        return f"{value:g}"
    if kind == "tuple" and isinstance(value, list | tuple) and len(value) == 2:
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return tuple(float(item) for item in value)
    expected = {"tuple": "two numbers", "int": "a whole number", "float": "a number"}
    expected = {**expected, "bool": "true or false", "str": "text"}[kind]
    # Shortened: a few bytes of YAML can mean a value of gigabytes.
    raise UserError(f"Setting {key} must be {expected}, got {reprlib.repr(value)}.")


def _check(settings):
    if not 0 < getattr(settings, "label_share", 1.0) <= 1:
        raise UserError(f"Setting label_share must lie in (0, 1], got {settings.label_share}.")
    for name in (
        "epochs",
        "limit",
        "val_limit",
        "batch_size",
        "accumulate",
        "steps_per_epoch",
        "image_size",
        "gpus",
        "checkpoint_keep",
        "max_bad_steps",
        "max_image_pixels",
    ):
        value = getattr(settings, name, None)
        if value is not None and value < 1:
            raise UserError(f"Setting {name} must be at least 1, got {value}.")
    if settings.max_bad_images is not None and settings.max_bad_images < 0:
        raise UserError(f"Setting max_bad_images must be 0 or more, got {settings.max_bad_images}.")
    for name in ("learning_rate", "min_learning_rate", "warmup_learning_rate", "weight_decay"):
        if getattr(settings, name) < 0:
            raise UserError(f"Setting {name} must not be negative, got {getattr(settings, name)}.")
    parse_interval(settings.checkpoint_every)
    for name in ("pictures_every", "probe_every"):
        if getattr(settings, name, 1) < 1:
            raise UserError(f"Setting {name} must be at least 1, got {getattr(settings, name)}.")
    if getattr(settings, "probe_mode", "knn") not in PROBES.names():
        raise UserError(unknown_name("probe_mode", settings.probe_mode, PROBES.names()))
    policies = ("float32", "mixed_bfloat16", "mixed_float16")
    if settings.precision not in policies:
        raise UserError(unknown_name("precision", settings.precision, policies))


def parse_interval(text):
    """`500` -> `("steps", 500.0)`, `10 minutes` -> `("minutes", 10.0)`, `1 epoch` likewise.

    Raises:
        UserError: anything else.
    """
    number, _, unit = text.strip().partition(" ")
    units = {"": "steps", "step": "steps", "minute": "minutes", "min": "minutes", "epoch": "epochs"}
    unit = units.get(unit.strip().removesuffix("s"))
    try:
        amount = float(number)
    except ValueError:
        amount = 0.0
    if unit is None or not 0 < amount < float("inf") or (unit != "minutes" and amount % 1):
        raise UserError(
            "checkpoint_every takes a number of steps (500), minutes (10 minutes) or epochs "
            f"(1 epoch), got {text!r}."
        )
    return unit, amount


def as_dict(settings):
    """Settings as plain YAML types."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(settings).items()
    }

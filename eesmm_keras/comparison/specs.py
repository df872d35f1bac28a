"""What decides the result of a cell: how a person writes it, and as the dict that a cell keeps."""

import hashlib
import inspect
import json

from eesmm_keras.backbones import check_name, encoders, preset_arguments
from eesmm_keras.comparison.cell import NOTHING
from eesmm_keras.errors import UserError
from eesmm_keras.image_size import both_sides
from eesmm_keras.methods import names as method_names
from eesmm_keras.names import split_arguments, unknown_name

_BUDGETS = ("gmacs", "images", "epochs", "minutes")
# Settings of a run that decide nothing, or that a cell holds elsewhere.
_ELSEWHERE = (
    "data", "out", "data_dir", "image_size", "limit", "max_bad_images", "max_image_pixels",
    "follow_links", "seed", "backbone", "gpus", "devices", "coordinator", "num_hosts", "host_index",
    "checkpoint_every", "checkpoint_keep", "max_bad_steps", "track",
)  # fmt: skip
_NOT_PRETRAIN = (
    *_ELSEWHERE, "epochs", "steps_per_epoch", "batch_size", "method", "method_args", "pictures_every",
    "probe_data", "probe_mode", "probe_every",
)  # fmt: skip
_NOT_FINETUNE = (*_ELSEWHERE, "weights", "label_share", "labels_per_class", "val_limit")


def parse_budgets(text):
    """`gmacs=500,gmacs=1000` -> `[("gmacs", 500.0), ("gmacs", 1000.0)]`.

    Raises:
        UserError: anything else, or budgets of several kinds.
    """
    budgets = [_parse_budget(part.strip()) for part in text.split(",") if part.strip()]
    if not budgets or len({kind for kind, _ in budgets}) > 1:
        raise UserError(
            "--budget takes gmacs=N, images=N, epochs=N or minutes=N, or several of one kind with "
            f"commas between them, got {text!r}."
        )
    return sorted(set(budgets))


def _parse_budget(text):
    kind, _, amount = text.partition("=")
    try:
        value = float(amount)
    except ValueError:
        value = 0.0
    whole = kind in ("epochs", "images")
    if kind not in _BUDGETS or not 0 < value < float("inf") or (whole and value % 1):
        raise UserError(
            f"--budget takes gmacs=N, images=N, epochs=N or minutes=N, N above 0, got {text!r}."
        )
    return kind, value


def parse_seeds(text):
    """`3` -> `[0, 1, 2]`; `4,7` -> `[4, 7]`; `4,` -> `[4]`.

    Raises:
        UserError: anything else.
    """
    parts = [part.strip() for part in str(text).split(",")]
    wanted = [part for part in parts if part]
    if not wanted or not all(part.isdecimal() for part in wanted):
        raise UserError(f"--seeds takes a number of seeds (3) or a list (0,1,2), got {text!r}.")
    seeds = [int(part) for part in wanted]
    if len(parts) == 1:
        seeds = list(range(seeds[0]))
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds takes at least one seed, and each once, got {text!r}.")
    return seeds


def parse_labels(text):
    """`5/class,0.1` -> `["5/class", "0.1"]`, checked.

    Raises:
        UserError: anything else.
    """
    labels = [part.strip() for part in str(text).split(",") if part.strip()]
    for part in labels:
        label_settings(part)
    return labels


def label_settings(text):
    """Settings of a fine-tuning on `5/class`, so many images of each, or `0.1`, a share of them.

    Raises:
        UserError: neither.
    """
    number, slash, unit = text.partition("/")
    if slash and unit == "class" and number.isdecimal() and int(number):
        return {"labels_per_class": int(number)}
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UserError(
            "--labels takes images of every class (5/class) or shares of them (0.1, in (0, 1]), "
            f"with commas between them, got {text!r}."
        )
    return {"label_share": share}


def parse_method(name):
    """`eesmm:num_mixed=3` -> `("eesmm", {"num_mixed": 3})`.

    Settings of a pre-training may stand there too, `eesmm:learning_rate=2e-3`: they hold for this
    one method.

    Raises:
        UserError: an unknown method.
    """
    method, arguments = split_arguments(name)
    if method not in (*method_names(), NOTHING):
        raise UserError(unknown_name("method", method, [*method_names(), NOTHING]))
    return method, {key: _number(value) for key, value in arguments.items()}


def _number(value):
    """YAML reads 1e-4 (without a dot) as text, which is not how another would write it."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def check(methods, backbone, settings, finetune_settings):
    """Check names and settings, as far as that shows before Keras is imported; see `settings_of`.

    Args: see `compare`.

    Raises:
        UserError: see `settings_of`; of plug-ins, arguments are not known.
    """
    from eesmm_keras.training.settings import resolve

    check_name(backbone)
    for name in methods:
        method, arguments = parse_method(name)
        if method != NOTHING:
            _pretraining(method, arguments, settings, imports=False)
    resolve("finetune", options=finetune_settings, imports=False)


def data_facts(data, where):
    """What tells two sets of labelled images apart, wherever they lie: a dict.

    Raises:
        DataError: nothing there, or no labels.
    """
    from eesmm_keras.data.sources import open_source

    train, test = (open_source(data, split, labelled=True, **where) for split in ("train", "test"))
    text = "\n".join(map(str, train.class_names))
    return {
        "classes": len(train.class_names),
        "class_names_sha256": hashlib.sha256(text.encode()).hexdigest()[:16],
        "train_images": len(train),
        "test_images": len(test),
    }


def settings_of(common, name, budget, seed):
    """All that decides the result of one cell: plain JSON types, every default written out.

    Args:
        common: dict, the same for all cells: `data` (of `data_facts`), `backbone`, `image_size`,
            `batch_size`, `limit`, `probe_limit`, `labels`, `pretrain`, `finetune` (the last two
            are dicts of settings).
        name: method with its arguments, see `parse_method`.
        budget: of `parse_budgets`.
        seed: int.

    Raises:
        UserError: an unknown name, or a setting that is none.
    """
    from eesmm_keras.training.settings import as_dict, method_arguments, resolve

    method, arguments = parse_method(name)
    settings = {**common, "encoder": encoder_facts(common["backbone"], common["image_size"])}
    settings.update(method=method, arguments={}, budget=None, seed=seed, pretrain={})
    if method == NOTHING:
        # Nothing is trained: one cell for all budgets and batch sizes.
        settings["batch_size"] = None
    else:
        whole = _pretraining(method, arguments, common["pretrain"])
        settings["arguments"] = {**method_arguments(method), **whole["method_args"]}
        settings["pretrain"] = {k: v for k, v in whole.items() if k not in _NOT_PRETRAIN}
        settings["budget"] = list(budget)
    settings["finetune"] = {}
    if common["labels"]:
        whole = as_dict(resolve("finetune", options=common["finetune"]))
        settings["finetune"] = {k: v for k, v in whole.items() if k not in _NOT_FINETUNE}
    return json.loads(json.dumps(settings))


def _pretraining(method, arguments, settings, imports=True):
    """All settings of a method's pre-training, a dict. settings: those of all methods."""
    from eesmm_keras.training.settings import as_dict, resolve

    given = {**settings, "method": method, "method_args": arguments}
    whole = as_dict(resolve("pretrain", options=given, imports=imports))
    _refuse_other_images(whole)
    return whole


def _refuse_other_images(settings):
    for key in ("channels", "bands", "pixels", "stats", "tile"):
        if settings[key] is not None:
            raise UserError(f"compare takes 8-bit RGB images alone: leave out --set {key}.")


def encoder_facts(backbone, image_size):
    """Class and constructor arguments of an encoder, whatever preset they came from: a dict."""
    cls, arguments = preset_arguments(backbone)
    facts = {"class": cls.__name__, **_encoder_defaults(cls), **arguments}
    if image_size:
        facts["image_shape"] = (*both_sides(image_size), 3)
    return facts


def _encoder_defaults(cls):
    parameters = inspect.signature(cls).parameters
    return {k: p.default for k, p in parameters.items() if k not in ("name", "dtype", "kwargs")}


def defaults_of(settings):
    """What `arguments`, `pretrain`, `finetune` and `encoder` hold where nothing was said: dicts."""
    from eesmm_keras.training import settings as runs

    method, known = settings["method"], {cls.__name__: cls for cls in encoders()}
    defaults = {
        "arguments": {} if method == NOTHING else runs.method_arguments(method),
        "pretrain": runs.as_dict(runs.PretrainSettings()),
        "finetune": runs.as_dict(runs.FinetuneSettings()),
        "encoder": _encoder_defaults(known[settings["encoder"]["class"]]),
    }
    return json.loads(json.dumps(defaults))

"""Weights of a recognised source into an encoder, or into a model around one."""

import inspect

import numpy as np

from eesmm_keras.converters.adaptation import Adaptation, Geometry
from eesmm_keras.converters.recognition import open_weights
from eesmm_keras.converters.report import CONVERTED, MATCHED, MISSING, Report, Row
from eesmm_keras.errors import UserError

# Arguments that must be the same, with what messages call them.
_FIXED = (
    "embed_dim",
    "dim",
    "dims",
    "depths",
    "depth",
    "num_heads",
    "reductions",
    "mlp_ratio",
    "qkv_bias",
    "class_token",
    "shift",
    "version",
)


def encoder_arguments(weights, **changes):
    """Constructor arguments of the encoder that weights fit, with changes.

    Where another number of channels is asked for without its mean and deviation, the source's means of
    each are taken for all channels.
    """
    arguments = {**weights.arguments, **changes}
    channels = arguments["image_shape"][2]
    for name in ("mean", "std"):
        values = weights.arguments.get(name, _default(weights.encoder_class, name))
        if name not in changes and len(values) != channels:
            arguments[name] = (float(np.mean(values)),) * channels
    return arguments


def new_encoder(weights, **changes):
    """The encoder that weights are of, without them; `changes`: see `encoder_arguments`.

    Raises:
        UserError: arguments that do not fit together.
    """
    cls = weights.encoder_class
    try:
        return cls.from_config(encoder_arguments(weights, **changes))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{weights.source.where} cannot become a {cls.__name__}: {error}"
        ) from error


def build_encoder(
    weights, channels="mean", tables="bicubic", min_coverage=0.95, cls=None, **changes
):
    """The encoder that weights are of, with them in it.

    Args:
        weights: of `open_weights`.
        channels, tables, min_coverage: see `import_weights`.
        cls: the kind of encoder that is wanted; None: any.
        changes: other constructor arguments than the source's: another `image_shape`, say.

    Returns:
        `(encoder, Report)`.

    Raises:
        UserError: arguments that do not fit together, or see `import_weights`.
    """
    wanted, cls = cls, weights.encoder_class
    if wanted is not None and not issubclass(cls, wanted):
        raise UserError(
            f"{weights.source.where} holds {weights.converter.title}, for a {cls.__name__}, not for a "
            f"{wanted.__name__}."
        )
    encoder = new_encoder(weights, **changes)
    return encoder, import_weights(encoder, weights, channels, tables, min_coverage)


def import_weights(model, weights, channels="mean", tables="bicubic", min_coverage=0.95):
    """Set a model's weights to those of a source: all of them at the end, or none.

    Args:
        model: an encoder; or a model around one, `model.backbone`, whose decoder, mask token or head
            are taken over too where the source has them.
        weights: of `open_weights`, or a place for it.
        channels: for another number of channels than the source's: "mean", "repeat" or "first", see
            `ops.resizing.change_channels`.
        tables: for other windows than the source's: "bicubic" or "geometric".
        min_coverage: share of the encoder's numbers that must come from the source.

    Returns:
        `Report`.

    Raises:
        UserError: another architecture, numbers that are not finite, or less than `min_coverage`.
    """
    if isinstance(weights, str):
        weights = open_weights(weights)
    if not 0 <= min_coverage <= 1:
        raise UserError(f"min_coverage must lie in 0..1, got {min_coverage}.")
    encoder = getattr(model, "backbone", model)
    _check_same_architecture(encoder, weights)
    source = Geometry.of({**_defaults(type(encoder)), **weights.arguments})
    adapt = Adaptation(source, Geometry.of(encoder.get_config()), channels, tables)
    report = Report(
        weights.source.where,
        weights.converter.title,
        weights.source.licence,
        weights.converter.note,
    )
    values = []
    for path, variable in _encoder_variables(encoder):
        values.append((variable, _encoder_row(path, variable, weights, adapt, report)))
    values += _outside_values(model, weights, report)
    report.left_over, report.notes = weights.left_over(), _notes(encoder, weights)
    if report.coverage < min_coverage:
        missing = [row.ours for row in report.rows if row.encoder and row.state == MISSING]
        raise UserError(
            f"{weights.source.where} covers {report.coverage:.1%} of the encoder's numbers, and at "
            f"least {min_coverage:.1%} are asked for. Missing: {', '.join(missing[:4])}"
            f"{', ...' if len(missing) > 4 else ''}. Nothing was loaded. A lower --min-coverage "
            "loads it."
        )
    for variable, value in values:
        if value is not None:
            variable.assign(value)
    return report


def _check_same_architecture(encoder, weights):
    where, cls = weights.source.where, weights.encoder_class
    if not isinstance(encoder, cls):
        raise UserError(
            f"{where} holds {weights.converter.title}, for a {cls.__name__}; this encoder is a "
            f"{type(encoder).__name__}. Choose another --backbone, or none: it then follows the "
            "weights."
        )
    here = {**_defaults(cls), **encoder.get_config()}
    there = {**_defaults(cls), **weights.arguments}
    for name in (name for name in _FIXED if name not in weights.assumed):
        mine, theirs = (_plain(side.get(name)) for side in (here, there))
        if mine != theirs:
            raise UserError(
                f"The weights in {where} are of another architecture: {name} is {theirs} there and "
                f"{mine} here. Choose the --backbone that they were trained with, or none: it then "
                "follows the weights."
            )
    mine, theirs = here.get("positions"), there.get("positions")
    # Fixed ones can be written into a learned table, not the other way round.
    if mine != theirs and (mine, theirs) != ("learned", "sincos"):
        raise UserError(
            f"The weights in {where} have {theirs or 'no'} absolute positions, and this encoder has "
            f"{mine or 'none'}. Choose a --backbone with positions={theirs}, or none: it then follows "
            "the weights."
        )
    if here.get("norm_epsilon") != there.get("norm_epsilon"):
        weights.notes.append(
            f"Layer normalisation adds {there['norm_epsilon']:g} there and "
            f"{here['norm_epsilon']:g} here."
        )


def _notes(encoder, weights):
    """Lines for the report; an assumption is told where this encoder rests on it."""
    config = encoder.get_config()
    standing = [
        text for name, text in weights.assumed.items()
        if _plain(config[name]) == _plain(weights.arguments[name])
    ]  # fmt: skip
    return [*standing, *weights.notes]


def _plain(value):
    return list(value) if isinstance(value, tuple | list) else value


def _defaults(cls):
    parameters = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _default(cls, name):
    return _defaults(cls)[name]


def _encoder_variables(encoder):
    return [(variable.path, variable) for variable in encoder.weights]


def outside_variables(model):
    """Variables of a model around an encoder that are trained, without it: `[(path, variable)]`.

    A classifier's head goes under "classifier": a method's head predicts pixels.
    """
    encoder = getattr(model, "backbone", None)
    if encoder is None:
        return []
    inside = {id(variable) for variable in encoder.weights}
    found = []
    for variable in model.trainable_variables:
        if id(variable) not in inside:
            path = variable.path.removeprefix(f"{model.name}/")
            if hasattr(model, "num_classes") and path.startswith("head/"):
                path = path.replace("head/", "classifier/", 1)
            found.append((path, variable))
    return found


def _encoder_row(path, variable, weights, adapt, report):
    array, note = _source_array(path, weights)
    names, shape = _raw_names(path, weights), tuple(variable.shape)
    if array is None:
        report.rows.append(Row(path, "", shape, MISSING, "not in the source"))
        return None
    kernel = None
    if path == "patch_embedding/projection/bias":
        kernel = weights.converter.array("patch_embedding/projection/kernel", weights)
    value, state, adapted = adapt(path, array, shape, kernel)
    if note and state == MATCHED:
        state = CONVERTED
    report.rows.append(Row(path, names, shape, state, ", ".join(filter(None, (note, adapted)))))
    return value


def _outside_values(model, weights, report):
    """`[(variable, array or None)]`; a decoder or head comes whole or not at all."""
    rows, values = [], []
    for path, variable in outside_variables(model):
        row, value = _outside_row(path, variable, weights)
        rows.append(row)
        values.append((variable, value))
    halves = {row.ours.split("/")[0] for row in rows if row.state == MISSING}
    for number, row in enumerate(rows):
        if row.ours.split("/")[0] in halves and row.state != MISSING:
            row.state, row.note = MISSING, "the rest of this part does not fit"
            values[number] = (values[number][0], None)
    report.rows += rows
    return values


def _outside_row(path, variable, weights):
    array, note = _source_array(path, weights)
    names, shape = _raw_names(path, weights), tuple(variable.shape)
    if array is None:
        return Row(path, "", shape, MISSING, "not in the source", encoder=False), None
    problem = weights.converter.problem(path.split("/")[0], weights)
    if problem:
        return Row(path, names, shape, MISSING, problem, encoder=False), None
    if array.size == np.prod(shape) and array.ndim != len(shape):
        array = array.reshape(shape)
    if array.shape != shape:
        why = f"{array.shape} there, {shape} here"
        return Row(path, names, shape, MISSING, why, encoder=False), None
    state = CONVERTED if note else MATCHED
    return Row(path, names, shape, state, note or "", encoder=False), array


def _source_array(path, weights):
    """`(array, note)` at the source's sizes, finite."""
    array = weights.converter.array(path, weights)
    if array is None:
        return None, None
    array, note = weights.converter.adjust(path, array, weights)
    if not np.isfinite(array).all():
        raise UserError(
            f"{weights.source.where}: {_raw_names(path, weights)} holds numbers that are not finite. "
            "Nothing was loaded."
        )
    return array, note


def _raw_names(path, weights):
    names = weights.converter.theirs(path)
    return ", ".join(weights.names[name][0] for name in names if name in weights)

"""Models and encoders out of files, and weights from one into another."""

import contextlib
import re
import tempfile
from pathlib import Path

from eesmm_keras.converters.importing import build_encoder, import_weights
from eesmm_keras.converters.own_model import OwnWeights
from eesmm_keras.converters.recognition import open_weights
from eesmm_keras.converters.source import is_foreign
from eesmm_keras.errors import UserError
from eesmm_keras.names import shortened
from eesmm_keras.saving import load_model
from eesmm_keras.tasks.image_classifier import ImageClassifier
from eesmm_keras.training.runs import find_model_file


def load_checked(where, say=None):
    """Model of a finished run or a `.keras` file; or the encoder, or classifier, of public weights.

    Args:
        where: a run, a file, or a place of public weights, see `docs/weights.md`.
        say: takes a report of what became of public weights; None: nobody reads it.

    Raises:
        UserError: nothing there, not finished, or not readable.
    """
    if is_foreign(where):
        model, report = _foreign_model(open_weights(where))
        if say:
            say(report.summary())
        return model
    path = find_model_file(where)
    try:
        return load_model(path, compile=False)
    except Exception as error:
        lacking = re.search(r"Could not locate class '(\w+)'", str(error))
        if lacking:
            raise UserError(
                f"{path} needs the class {lacking[1]}, which this package does not have. Set "
                "EESMM_PLUGINS to the folder of the plug-in that made it (eesmm docs extending)."
            ) from error
        raise UserError(
            f"{path} cannot be read as a Keras model: {shortened(error)}. Give an intact .keras file "
            "that this package wrote."
        ) from error


@contextlib.contextmanager
def as_keras_file(where, say=None):
    """Path of a `.keras` file with what `load_checked` gives, while the context is open."""
    if not is_foreign(where):
        yield find_model_file(where)
        return
    with tempfile.TemporaryDirectory(prefix="eesmm-weights-") as folder:
        path = Path(folder, "model.keras")
        load_checked(where, say).save(path)
        yield path


def load_backbone(where):
    """Encoder of a pre-training model, a classifier, a backbone file or public weights.

    Raises:
        UserError: see `load_checked`.
    """
    if is_foreign(where):
        return build_encoder(open_weights(where))[0]
    return encoder_of(load_checked(where), where)


def encoder_of(model, where):
    """Encoder of a model, or the model itself if it is one.

    Args:
        where: name of what the model was read from, for the message.

    Raises:
        UserError: there is none.
    """
    backbone = getattr(model, "backbone", model)
    if not hasattr(backbone, "depth_of"):
        raise UserError(f"{where} holds no encoder of this package, but a {type(model).__name__}.")
    return backbone


def weights_of(where):
    """What `import_weights` takes, of a run, a `.keras` file or public weights.

    Raises:
        UserError: see `load_checked`.
    """
    return open_weights(where) if is_foreign(where) else OwnWeights(load_checked(where), where)


def load_weights_from(model, source, channels="mean", tables="bicubic", min_coverage=0.95):
    """Start a model from weights: all that fit, adapted to its sizes, or none.

    Args:
        model: an encoder, a method or a classifier. Beside the encoder, a decoder, mask token or head
            is taken over where the source has the same, whole.
        source: a run, a `.keras` file, or public weights, see `docs/weights.md`: a file, a folder or
            `hf://OWNER/NAME`.
        channels: for another number of channels: "mean", "repeat" or "first", see
            `ops.resizing.change_channels`.
        tables: for other windows: "bicubic" or "geometric", see `ops.resizing.resize_bias_table`.
        min_coverage: share of the encoder's numbers that must come from the source, 0..1.

    Returns:
        `converters.report.Report`: what became of each array; `print(report.summary())`.

    Raises:
        UserError: nothing there, unreadable, another architecture, or less than `min_coverage`.
    """
    return import_weights(model, weights_of(source), channels, tables, min_coverage)


def start_from(model, weights, settings):
    """`import_weights` as the settings of a run say: its `Report`."""
    return import_weights(
        model,
        weights,
        channels=settings.adapt_channels or "mean",
        tables=settings.adapt_tables or "bicubic",
        min_coverage=0.95 if settings.min_coverage is None else settings.min_coverage,
    )


def _foreign_model(weights):
    """`(model, Report)`: a classifier where the weights have a head that ours can be, or an encoder."""
    encoder, report = build_encoder(weights)
    head = weights.converter.array("classifier/kernel", weights)
    pooling = weights.converter.pooling(weights)
    if head is None or head.shape[1] < 2 or pooling is None:
        return encoder, report
    names = _class_names(weights.source.config)
    names = names if len(set(names)) == head.shape[1] else None
    model = ImageClassifier(encoder, head.shape[1], names, pooling=pooling)
    return model, import_weights(model, weights)


def _class_names(config):
    """Names of the classes in a configuration of transformers or timm; empty where it has none."""
    names = config.get("id2label", config.get("label_names"))
    if isinstance(names, dict) and all(str(key).isdigit() for key in names):
        names = [names[key] for key in sorted(names, key=int)]
    strings = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if strings else []

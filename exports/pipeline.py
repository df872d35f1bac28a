"""The steps of an export, on the TensorFlow backend."""

import contextlib
from dataclasses import replace

import tensorflow as tf

from eesmm_keras.errors import UserError
from eesmm_keras.exports.card import card_path, model_card, write_card
from eesmm_keras.exports.destination import (
    move_into_place,
    size_on_disk,
    staging,
    write_parity,
)
from eesmm_keras.exports.errors import ExportError
from eesmm_keras.exports.formats import FORMATS
from eesmm_keras.exports.graph import build_graph
from eesmm_keras.exports.judging import prove
from eesmm_keras.exports.metadata import describe
from eesmm_keras.exports.provenance import provenance_of
from eesmm_keras.exports.report import ExportReport
from eesmm_keras.exports.source import backbone_of, normalise, takes_floats
from eesmm_keras.exports.verify import compare, comparison_batches, reference_outputs, run_export
from eesmm_keras.names import shortened
from eesmm_keras.partial_training import without_lora
from eesmm_keras.quiet import quiet
from eesmm_keras.tasks.task import Task


def run_pipeline(
    model, fmt, out, *, preprocessing, features, resize, sample_images, tolerance, overwrite,
    origin, reduction=None,
):  # fmt: skip
    """Trace, write, run elsewhere, compare, move into place. Arguments as `export_model`."""
    model = without_lora(model)
    kind, backbone = FORMATS.get(fmt)(), backbone_of(model)
    features = features or not isinstance(model, Task)
    network = backbone if features else model
    batches = comparison_batches(
        sample_images, backbone.image_shape, resize, takes_floats(backbone)
    )

    def feed(images):
        return images if preprocessing else normalise(images, backbone)

    # On the CPU even where there is a GPU: its TF32 products are not float32.
    with staging(out) as staged, quiet(), tf.device("/CPU:0"):
        graph = build_graph(network, preprocessing=preprocessing, features=features, resize=resize)
        with _format_errors():
            names = kind.outputs(graph)
        graph = replace(graph, outputs={name: graph.outputs[name] for name in names})
        metadata = describe(model, graph, kind, preprocessing=preprocessing, resize=resize)
        whole = staged.with_name(f"float32{kind.suffix}") if reduction else staged
        _write(kind.write, graph, metadata, whole)
        fed = {k: feed(x) for k, x in batches.items()}
        expected = reference_outputs(network, batches, features, graph.outputs)
        differences, limits = compare(
            expected, run_export(kind, whole, fed), tolerance, scaled=features
        )
        facts = None
        if reduction:
            metadata = {**metadata, "precision": reduction.precision}
            _write_smaller(kind, graph, metadata, staged, reduction, feed)
            differences, limits, facts = prove(
                kind, (staged, whole), reduction, None if features else model, fed, expected, feed
            )
        parity = {
            "format": fmt,
            "max_abs_diff": differences,
            "limits": limits,
            "input": metadata["input"],
            "preprocessing": metadata["preprocessing"],
            **(facts or {}),
        }
        card = model_card(out.name, kind, metadata, parity, provenance_of(origin))
        _put(staged, out, parity, card)
    return ExportReport(
        path=str(out),
        format=fmt,
        size_bytes=size_on_disk(out),
        outputs=graph.outputs,
        max_abs_diff=differences,
        limits=limits,
        description=kind.description,
        reduction=facts,
    )


def _put(staged, out, parity, card):
    """Give the export its name, with what is told of it inside its folder or beside its file."""
    inside = staged.is_dir()
    if inside:
        write_parity(staged, out.name, parity)
        card_path(staged).write_text(card, encoding="utf-8")
    move_into_place(staged, out)
    if not inside:
        write_parity(out.parent, out.name, parity)
        write_card(card_path(out), card)


def _write_smaller(kind, graph, metadata, path, reduction, feed):
    images = None if reduction.calibration is None else feed(reduction.calibration)
    _write(kind.write_smaller, graph, metadata, path, reduction.precision, images)


@contextlib.contextmanager
def _format_errors():
    """What a format raises is told in a line."""
    try:
        yield
    except UserError as error:
        raise ExportError(str(error)) from error
    except Exception as error:  # a plug-in, or a converter that lacks an operation
        raise ExportError(
            f"The format cannot write this model: {type(error).__name__}: {shortened(error, 400)}"
        ) from error


def _write(write, graph, metadata, path, *others):
    with _format_errors():
        write(graph, metadata, path, *others)
    if not path.exists():
        raise ExportError(f"{write.__qualname__} wrote nothing to {path.name}.")

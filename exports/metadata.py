"""What a reader of the exported file must know to use it, kept inside the file."""

import tensorflow as tf

from eesmm_keras._version import __version__
from eesmm_keras.data.reading import Reading
from eesmm_keras.data.views import CENTRAL_CROP
from eesmm_keras.exports.source import backbone_of
from eesmm_keras.tasks.task import Task

_FEATURES = {"pooled": "mean of the last feature map over its positions"}


def describe(model, graph, kind, *, preprocessing, resize):
    """A JSON-ready dict: classes, input contract, preprocessing, outputs, package version.

    `preprocessing/central_crop` is what evaluation shows of an image: the share of each side of the
    largest central crop of the model's form; None: all of it.

    Args:
        model: what is exported. graph: `ServingGraph` of it. kind: `Format`.
        preprocessing, resize: as in `export_model`; a format with a `model_input` has neither.
    """
    backbone = backbone_of(model)
    height, width, _ = backbone.image_shape
    inside = preprocessing and not kind.model_input
    names = model.class_names if isinstance(model, Task) else None
    known = {**_FEATURES, **(model.output_descriptions if isinstance(model, Task) else {})}
    return {
        "model": model.name,
        "architecture": type(backbone).__name__.removesuffix("Backbone").lower(),
        "class_names": None if names is None else list(names),
        **(model.facts() if isinstance(model, Task) else {}),
        "image_size": [height, width],
        "input": {
            **_input(graph, kind),
            "color_order": "RGB"
            if backbone.reading is None and backbone.image_shape[2] == 3
            else None,
            "value_range": [0, 255] if inside else "normalised",
            **_raw_values(backbone),
        },
        "reading": backbone.reading,
        "preprocessing": {
            "formula": "(images / 255 - mean) / std",
            "mean": [float(x) for x in backbone.mean],
            "std": [float(x) for x in backbone.std],
            "central_crop": None if getattr(model, "whole_images", False) else CENTRAL_CROP,
            "in_graph": inside,
            "resize_in_graph": resize,
        },
        "outputs": {
            name: {
                "shape": ["batch", *shape[1:]],
                "description": known.get(name) or _level_description(name),
            }
            for name, shape in graph.outputs.items()
        },
        "eesmm_keras_version": __version__,
    }


def _input(graph, kind):
    """Name, kind, shape and layout of what the exported model takes."""
    shape, dtype, name, layout = graph.spec.shape.as_list()[1:], graph.spec.dtype, "images", "NHWC"
    if kind.model_input:
        dtype, (name, layout) = tf.float32, kind.model_input
    if layout == "NCHW":
        shape = [shape[2], *shape[:2]]
    return {"name": name, "dtype": dtype.name, "shape": ["batch", *shape], "layout": layout}


def _raw_values(backbone):
    """Which values of image files are pixels 0 and 255, where the files' own numbers are taken."""
    reading = Reading.of(backbone.reading)
    if reading.low is None:
        return {}
    return {
        "raw_low": list(reading.low),
        "raw_high": list(reading.high),
        "raw_to_pixels": "clip((raw - raw_low) * 255 / (raw_high - raw_low), 0, 255)",
    }


def _level_description(name):
    stride = 2 ** int(name[1:])
    return f"feature map with one position per {stride} x {stride} pixels"

"""What a reader of the exported file must know to use it, kept inside the file."""

from eesmm_keras._version import __version__
from eesmm_keras.exports.source import backbone_of
from eesmm_keras.tasks.task import Task

_FEATURES = {"pooled": "mean of the last feature map over its positions"}


def describe(model, graph, *, preprocessing, resize):
    """A JSON-ready dict: classes, input contract, preprocessing, outputs, package version."""
    backbone = backbone_of(model)
    height, width, _ = backbone.image_shape
    names = model.class_names if isinstance(model, Task) else None
    known = {**_FEATURES, **(model.output_descriptions if isinstance(model, Task) else {})}
    pixels = {"value_range": [0, 255]} if preprocessing else {"value_range": "normalised"}
    return {
        "model": model.name,
        "class_names": None if names is None else list(names),
        "image_size": [height, width],
        "input": {
            "name": "images",
            "dtype": graph.spec.dtype.name,
            "shape": ["batch", *graph.spec.shape.as_list()[1:]],
            "layout": "NHWC",
            "color_order": "RGB",
            **pixels,
        },
        "preprocessing": {
            "formula": "(images / 255 - mean) / std",
            "mean": [float(x) for x in backbone.mean],
            "std": [float(x) for x in backbone.std],
            "in_graph": preprocessing,
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


def _level_description(name):
    stride = 2 ** int(name[1:])
    return f"feature map with one position per {stride} x {stride} pixels"

"""The inference function that goes into the file: pixels in, named float32 outputs out."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from eesmm_keras.exports.source import as_float32, backbone_of, takes_floats


@dataclass(frozen=True)
class ServingGraph:
    """What the writers get: the model, and a function of it that is traced when it is asked for.

    Attributes:
        model: the `Task` or backbone, in float32.
        function: tf.function, `images` -> dict of float32 tensors.
        spec: tf.TensorSpec of `images`.
        outputs: static shape of each output by name, None for the batch.
    """

    model: Any
    function: Any
    spec: tf.TensorSpec
    outputs: dict[str, tuple]

    @property
    def variables(self):
        """The tf.Variables that the function reads."""
        return [variable.value for variable in self.model.variables]


def build_graph(model, *, preprocessing, features, resize):
    """The serving function of `model` (TensorFlow backend), as a `ServingGraph`.

    Args:
        model: a `Task` or a backbone; it is copied to float32, not changed.
        preprocessing: the input is pixels 0..255 (uint8, or float32 where the model was trained on
            such) and is normalised inside; otherwise the input is
            float32 and normalised already.
        features: outputs `pooled` and the pyramid levels instead of the task's.
        resize: images of any size, resized to the model's inside the graph.
    """
    copy = as_float32(model, include_normalization=preprocessing)
    height, width, channels = backbone_of(copy).image_shape
    shape = (None, None, None, channels) if resize else (None, height, width, channels)
    whole = preprocessing and not takes_floats(backbone_of(copy))
    dtype = tf.uint8 if whole else tf.float32
    spec = tf.TensorSpec(shape, dtype, name="images")
    network = named_outputs(copy, features)

    @tf.function(input_signature=[spec], autograph=False)
    def serve(images):
        images = tf.cast(images, tf.float32)
        if resize:
            images = resize_bilinear(images, height, width)
        return {name: tf.cast(x, tf.float32) for name, x in network(images).items()}

    blank = tf.zeros((1, height, width, channels))
    outputs = {name: (None, *x.shape[1:]) for name, x in network(blank).items()}
    return ServingGraph(copy, serve, spec, outputs)


def named_outputs(model, features):
    """A function `images (B, H, W, C)` -> the task's outputs or {"pooled", "P2", ...}, by name."""
    if not features:
        return lambda images: model.named(model(images, training=False))
    extractor = backbone_of(model).feature_extractor()

    def extract(images):
        # `feature_map` is left out: it is the last pyramid level under another name.
        outputs = extractor(images, training=False)
        return {name: x for name, x in outputs.items() if name != "feature_map"}

    return extract


def resize_bilinear(images, height, width):
    """Antialiased bilinear resize: `(B, h, w, C)` float32 -> `(B, height, width, C)`.

    The numbers of `tf.image.resize(..., antialias=True)`, whose operator ONNX converters do not
    know, as two matrix products, which every runtime knows.
    """
    size = tf.shape(images)
    rows = _interpolation_matrix(size[1], height)
    columns = _interpolation_matrix(size[2], width)
    images = tf.einsum("oh,bhwc->bowc", rows, images)
    return tf.einsum("ow,bhwc->bhoc", columns, images)


def _interpolation_matrix(size_in, size_out):
    """`(size_out, size_in)` weights of a triangle filter, widened when shrinking (antialias)."""
    scale = tf.cast(size_in, tf.float32) / size_out
    centres = (tf.range(size_out, dtype=tf.float32) + 0.5) * scale - 0.5
    pixels = tf.range(tf.cast(size_in, tf.float32))
    distance = tf.abs(pixels[None, :] - centres[:, None]) / tf.maximum(scale, 1.0)
    weights = tf.nn.relu(1.0 - distance)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)

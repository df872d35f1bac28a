"""LiteRT (TensorFlow Lite) files."""

import json

from eesmm_keras.exports.format import Format


class LiteRT(Format):
    """A LiteRT file with one signature: input `images`, outputs by name.

    The batch is free: the signature's runner fits the tensors to what it is given; with the interpreter
    alone, call `resize_tensor_input` first (the file's own shape says one image). Only LiteRT's builtin
    operators are used. float16: weights alone. int8: weights by output channel, and activations, where
    LiteRT has an operator for it; input and outputs keep their types.

    The metadata lie behind the model as an attached file, in the way of TensorFlow Lite's own metadata:
    the file can be read as a zip archive that holds `metadata.json`.
    """

    description = "LiteRT"
    suffix = ".tflite"
    needs = ("ai_edge_litert",)
    extra = "litert"
    precisions = ("float32", "float16", "int8")
    library = "litert"

    def program(self, steps):
        answer = steps.answer('facts["class_names"]', 'outputs["{}"]')
        return f"""
import json
import zipfile
import numpy as np
from ai_edge_litert.interpreter import Interpreter
{steps.pillow}

facts = json.loads(zipfile.ZipFile("PATH").read("metadata.json"))
compute = Interpreter("PATH").get_signature_runner("serving_default")
height, width = facts["image_size"]
{steps.image}
outputs = compute(images=np.array(image, "uint8")[None])
{answer}
"""

    def write(self, graph, metadata, path):
        self.write_smaller(graph, metadata, path, "float32", None)

    def write_smaller(self, graph, metadata, path, precision, images):
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            _save_model(graph, folder)
            path.write_bytes(_converted(folder, precision, images))
        _attach(metadata, path)

    def open(self, path):
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(path).get_signature_runner("serving_default")
        return lambda images: runner(images=images)


def _save_model(graph, folder):
    """A SavedModel, from which the converter takes the names of inputs and outputs."""
    import tensorflow as tf

    from eesmm_keras.ops.shifts import shifts_as_slices

    module = tf.Module()
    module.weights = graph.variables
    with shifts_as_slices():  # LiteRT has no roll.
        serve = graph.function.get_concrete_function()
    tf.saved_model.save(module, folder, signatures={"serving_default": serve})


def _converted(folder, precision, images):
    """Bytes of the LiteRT model."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: ({"images": image[None]} for image in images)
    return converter.convert()


def _attach(metadata, path):
    import zipfile

    with zipfile.ZipFile(path, "a") as attached:
        attached.writestr("metadata.json", json.dumps(metadata, indent=2))

"""ONNX files."""

import json

from eesmm_keras.exports.format import Format

OPSET = 18  # The newest operator set that tf2onnx 1.17 writes.


class Onnx(Format):
    """An ONNX file: input `images`, outputs by name, batch of any size.

    Each key of the metadata is an entry of the file's `metadata_props`; values that are not strings
    are JSON there.
    """

    description = f"ONNX, opset {OPSET}"
    suffix = ".onnx"
    library = "onnx"
    example = """
import json
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("PATH")
facts = session.get_modelmeta().custom_metadata_map
height, width = json.loads(facts["image_size"])
image = Image.open("photo.jpg").convert("RGB").resize((width, height))
(logits,) = session.run(["logits"], {"images": np.array(image, "uint8")[None]})
print(json.loads(facts["class_names"])[logits.argmax()])
"""

    def write(self, graph, metadata, path):
        import onnx
        import tf2onnx

        from eesmm_keras.exports.errors import ExportError

        proto, _ = tf2onnx.convert.from_function(
            graph.function,
            [graph.spec],
            opset=OPSET,
            custom_op_handlers={"Erfc": (_erfc_as_erf, [])},
        )
        _name_dimensions(proto.graph)
        entries = {**metadata, "opset": OPSET}
        text = {key: x if isinstance(x, str) else json.dumps(x) for key, x in entries.items()}
        onnx.helper.set_model_props(proto, text)
        try:
            onnx.checker.check_model(proto, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ExportError(f"The model does not translate to ONNX: {error}") from error
        onnx.save(proto, path)

    def run(self, path, batches):
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return {
            batch: dict(zip(names, session.run(names, {"images": images}), strict=True))
            for batch, images in batches.items()
        }


def _erfc_as_erf(graph, node, name, args):
    """1 - erf(x) for erfc(x), which TensorFlow's exact GELU uses and tf2onnx does not know."""
    import numpy as np

    shape, dtype = graph.get_shape(node.output[0]), graph.get_dtype(node.output[0])
    outputs = list(node.output)
    erf = graph.make_node("Erf", list(node.input), shapes=[shape], dtypes=[dtype])
    one = graph.make_const(f"{name}_one", np.ones((), "float32"))
    graph.remove_node(node.name)
    operands = [one.output[0], erf.output[0]]
    graph.make_node("Sub", operands, outputs=outputs, shapes=[shape], dtypes=[dtype])


def _name_dimensions(graph):
    """Replace tf2onnx's `unk__17` by the names of the free dimensions."""
    for value in [*graph.input, *graph.output]:
        dims = value.type.tensor_type.shape.dim
        for dim, name in zip(dims, ("batch", "height", "width"), strict=False):
            if not dim.HasField("dim_value"):
                dim.dim_param = name

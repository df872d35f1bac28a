"""ONNX files."""

import json

from eesmm_keras.exports.format import Format

OPSET = 18  # The newest operator set that tf2onnx 1.17 writes.
BATCH = 8  # Images at a time while calibrating.


class Onnx(Format):
    """An ONNX file: input `images`, outputs by name, batch of any size.

    float16: all weights and products; inputs and outputs stay as they are. int8: the matrix products of
    dense layers, kernels by output channel, activations by ranges from images (static quantisation,
    QuantizeLinear and DequantizeLinear pairs); attention, norms and the rest stay float32.

    Each key of the metadata is an entry of the file's `metadata_props`; values that are not strings
    are JSON there.
    """

    description = f"ONNX, opset {OPSET}"
    suffix = ".onnx"
    library = "onnx"
    precisions = ("float32", "float16", "int8")

    def program(self, steps):
        answer = steps.answer('json.loads(facts["class_names"])')
        return f"""
import json
import numpy as np
import onnxruntime
{steps.pillow}

session = onnxruntime.InferenceSession("PATH")
facts = session.get_modelmeta().custom_metadata_map
height, width = json.loads(facts["image_size"])
{steps.image}
{steps.variables} = session.run({steps.strings}, {{"images": np.array(image, "uint8")[None]}})
{answer}
"""

    def write(self, graph, metadata, path):
        _save(_converted(graph), metadata, path)

    def write_smaller(self, graph, metadata, path, precision, images):
        from eesmm_keras.exports.errors import ExportError

        if precision == "float16" and None in graph.spec.shape[1:]:
            raise ExportError(
                "Resizing computes the places of pixels, for which float16 is too coarse: leave out "
                "--resize, or take another format or precision."
            )
        proto = _converted(graph)
        _save(
            _as_float16(proto) if precision == "float16" else _as_int8(proto, images),
            metadata,
            path,
        )

    def open(self, path):
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda images: dict(zip(names, session.run(names, {"images": images}), strict=True))


def _converted(graph):
    """ONNX's own form of a `ServingGraph`."""
    import tf2onnx

    proto, _ = tf2onnx.convert.from_function(
        graph.function,
        [graph.spec],
        opset=OPSET,
        custom_op_handlers={"Erfc": (_erfc_as_erf, [])},
    )
    _name_dimensions(proto.graph)
    return proto


def _save(proto, metadata, path):
    import onnx

    from eesmm_keras.exports.errors import ExportError

    entries = {**metadata, "opset": OPSET}
    text = {key: x if isinstance(x, str) else json.dumps(x) for key, x in entries.items()}
    onnx.helper.set_model_props(proto, text)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"The model does not translate to ONNX: {error}") from error
    onnx.save(proto, path)


def _as_float16(proto):
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    # Casts of inputs are put at the end.
    model = OnnxModel(convert_float_to_float16(proto, keep_io_types=True))
    model.topological_sort()
    return model.model


def _as_int8(proto, images):
    import tempfile
    from pathlib import Path

    import onnx
    from onnxruntime import quantization

    class Images(quantization.CalibrationDataReader):
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "int8.onnx")
        quantization.quantize_static(
            proto,
            path,
            Images(),
            per_channel=True,
            op_types_to_quantize=["MatMul", "Gemm"],
            # Products of two activations, in attention, cost more in int8 than they save.
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(path)


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

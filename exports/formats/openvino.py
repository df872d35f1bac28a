"""OpenVINO's intermediate representation."""

import json

from eesmm_keras.exports.format import Format


class OpenVINO(Format):
    """A folder with `model.xml`, `model.bin` and `metadata.json`; batch of any size.

    Made from the ONNX export. The metadata are in the model too, as text under `rt_info/eesmm_keras/
    metadata`. float16: weights alone. int8: as in ONNX, whose pairs OpenVINO reads.

    It is proved in float32 arithmetic (`INFERENCE_PRECISION_HINT`): processors with bfloat16 units
    would otherwise compute in that.
    """

    description = "OpenVINO"
    needs = ("openvino",)
    extra = "openvino"
    precisions = ("float32", "float16", "int8")
    library = "openvino"

    def program(self, steps):
        answer = steps.answer('facts["class_names"]', 'outputs["{}"]')
        return f"""
import json
import numpy as np
import openvino
{steps.pillow}

facts = json.load(open("PATH/metadata.json"))
compute = openvino.Core().compile_model("PATH/model.xml", "CPU")
height, width = facts["image_size"]
{steps.image}
outputs = compute({{"images": np.array(image, "uint8")[None]}})
{answer}
"""

    def write(self, graph, metadata, path):
        self.write_smaller(graph, metadata, path, "float32", None)

    def write_smaller(self, graph, metadata, path, precision, images):
        import openvino

        onnx = path.with_name(f"{path.name}.onnx")
        try:
            _write_onnx(graph, metadata, onnx, precision, images)
            model = openvino.convert_model(onnx)
        finally:
            onnx.unlink(missing_ok=True)
        text = json.dumps(metadata, indent=2)
        model.set_rt_info(text, ["eesmm_keras", "metadata"])
        path.mkdir()
        openvino.save_model(model, path / "model.xml", compress_to_fp16=precision == "float16")
        (path / "metadata.json").write_text(text + "\n", encoding="utf-8")

    def open(self, path):
        from pathlib import Path

        import openvino

        precise = {"INFERENCE_PRECISION_HINT": "f32"}
        model = openvino.Core().compile_model(Path(path, "model.xml"), "CPU", precise)
        names = [output.get_any_name() for output in model.outputs]

        def compute(images):
            found = model({"images": images})
            return {name: found[name] for name in names}

        return compute

    def owns(self, path):
        return (path / "model.xml").is_file() and (path / "model.bin").is_file()


def _write_onnx(graph, metadata, path, precision, images):
    """The ONNX export in float32 or int8; weights are made float16 later."""
    from eesmm_keras.exports.formats.onnx import Onnx

    if precision == "int8":
        Onnx().write_smaller(graph, metadata, path, precision, images)
    else:
        Onnx().write(graph, metadata, path)

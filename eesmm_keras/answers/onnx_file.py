"""Exported ONNX files as what answers questions about images; Keras is not needed."""

import json

import numpy as np

from eesmm_keras.data.reading import Reading
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.features import stage_means
from eesmm_keras.names import shortened


class OnnxFile:
    """A file of `eesmm export --format onnx`; attributes and methods as those of `KerasModel`.

    Args:
        where: path of the file.

    Raises:
        UserError: it cannot be read, or does not say what `eesmm export` writes into its files.
    """

    kind = "exported encoder"

    def __init__(self, where):
        import onnxruntime

        try:
            self._session = onnxruntime.InferenceSession(
                where, providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # its exceptions are of many kinds
            raise UserError(
                f"{where} cannot be read as an ONNX file: {shortened(error)}."
            ) from error
        facts = self._session.get_modelmeta().custom_metadata_map
        try:
            height, width = json.loads(facts["image_size"])
            self._preprocessing = json.loads(facts["preprocessing"])
            names = json.loads(facts["class_names"])
            self.class_numbers = json.loads(facts.get("class_numbers", "null"))
            self.task = facts.get("task")
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(
                f"{where} does not say what images it takes. Expected a file of `eesmm export --format "
                "onnx`, whose metadata hold image_size, preprocessing and class_names."
            ) from error
        self._where = where
        self.reading = Reading.of(json.loads(facts.get("reading", "null")))
        channels = len(self._preprocessing["mean"])
        self.image_shape = (height, width, channels)
        kind = self._session.get_inputs()[0].type
        self._dtype = "uint8" if kind == "tensor(uint8)" else "float32"
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.class_names = None
        for name in {"logits", "scores"} & set(self._outputs):
            count = self._session.get_outputs()[self._outputs.index(name)].shape[-1]
            self.class_names = tuple(names or map(str, range(count)))

    def logits(self, images):
        return self._run(images)["logits"]

    def boxes(self, images):
        return self._run(images)

    def features(self, images):
        if "pooled" not in self._outputs:
            raise UserError(
                f"{self._where} gives {', '.join(self._outputs)}, but no features. Export it with "
                "--features, or give the run."
            )
        outputs = self._run(images)
        stages = stage_means(outputs)
        patches = outputs[list(stages)[-1]]  # the last level is the feature map
        return {"pooled": outputs["pooled"], "stages": stages, "patches": patches}

    def _run(self, images):
        if not self._preprocessing["in_graph"]:
            mean, std = (np.array(self._preprocessing[key], "float32") for key in ("mean", "std"))
            images = (images.astype("float32") / 255 - mean) / std
        images = images.astype(self._dtype)
        return dict(
            zip(self._outputs, self._session.run(self._outputs, {"images": images}), strict=True)
        )

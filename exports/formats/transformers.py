"""Folders for transformers."""

from eesmm_keras.exports.format import Format


class Transformers(Format):
    """A folder that transformers opens: Swin or ViT, the encoder or its image classifier.

    `config.json` names the class, `preprocessor_config.json` has what `AutoImageProcessor` needs.
    """

    description = "transformers"
    needs = ("torch", "transformers")
    extra = "transformers"
    model_input = ("pixel_values", "NCHW")
    library = "transformers"
    example = """
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

processor = AutoImageProcessor.from_pretrained("PATH")
model = AutoModelForImageClassification.from_pretrained("PATH")  # an encoder: AutoModel
inputs = processor(Image.open("photo.jpg").convert("RGB"), return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits
print(model.config.id2label[logits.argmax(-1).item()])
"""

    def outputs(self, graph):
        from eesmm_keras.exports.foreign import Foreign, last_level

        name = Foreign("transformers", graph.model).model_class
        if name == "SwinModel":
            return ["pooled", last_level(graph)]
        return [last_level(graph)]  # a classifier's logits too: its one output

    def write(self, graph, metadata, path):
        import transformers

        from eesmm_keras.exports.foreign import Foreign, write_json

        foreign = Foreign("transformers", graph.model)
        cls = getattr(transformers, foreign.model_class)
        names = dict(enumerate(foreign.class_names()))
        if names:
            foreign.config["id2label"] = names
            foreign.config["label2id"] = {name: number for number, name in names.items()}
        config = cls.config_class(**foreign.config)
        peer = cls(config, **_without_pooler(foreign.model_class))
        foreign.load_torch(peer)
        peer.save_pretrained(path)
        height, width = metadata["image_size"]
        write_json(
            path / "preprocessor_config.json",
            {
                "image_processor_type": "ViTImageProcessor",
                "do_resize": True,
                "size": {"height": height, "width": width},
                "resample": 2,  # bilinear
                "do_rescale": True,
                "rescale_factor": 1 / 255,
                "do_normalize": True,
                "image_mean": metadata["preprocessing"]["mean"],
                "image_std": metadata["preprocessing"]["std"],
            },
        )

    def run(self, path, batches):
        import json
        from pathlib import Path

        import numpy as np
        import torch
        import transformers

        config = json.loads(Path(path, "config.json").read_text("utf-8"))
        steps = json.loads(Path(path, "preprocessor_config.json").read_text("utf-8"))
        name = config["architectures"][0]
        model = getattr(transformers, name).from_pretrained(path, **_without_pooler(name)).eval()
        results = {}
        for batch, images in batches.items():
            pixels = images * steps["rescale_factor"] - np.array(steps["image_mean"])
            pixels = (pixels / np.array(steps["image_std"])).astype("float32")
            with torch.no_grad():
                found = model(pixel_values=torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
            results[batch] = _named(found, name, images.shape[1:3], model.config.patch_size)
        return results

    def owns(self, path):
        return (path / "preprocessor_config.json").is_file() and (path / "config.json").is_file()


def _without_pooler(name):
    """ViTModel has a layer behind the class token that a masked pre-training gives no weights."""
    return {"add_pooling_layer": False} if name == "ViTModel" else {}


def _named(found, name, sides, patch):
    """transformers' outputs by our names; maps as `(B, rows, cols, C)`."""
    if "logits" in found:
        return {"logits": found.logits.numpy()}
    tokens = found.last_hidden_state.numpy()
    if name == "ViTModel":
        tokens = tokens[:, 1:]
    stride = patch
    while (sides[0] // stride) * (sides[1] // stride) > tokens.shape[1]:
        stride *= 2
    rows, cols = sides[0] // stride, sides[1] // stride
    level = f"P{stride.bit_length() - 1}"
    results = {level: tokens.reshape(len(tokens), rows, cols, -1)}
    if name == "SwinModel":
        results["pooled"] = found.pooler_output.numpy()
    return results

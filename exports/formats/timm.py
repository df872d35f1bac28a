"""Folders for timm."""

import math

from eesmm_keras.exports.format import Format


class Timm(Format):
    """A folder that timm opens: `model.safetensors`, and `config.json` with architecture and arguments.

    `timm.create_model(architecture, checkpoint_path=".../model.safetensors", **model_args)`; or
    `timm.create_model("local-dir:FOLDER", pretrained=True)`, and `hf-hub:OWNER/NAME` once it is there.
    """

    description = "timm"
    needs = ("torch", "torchvision", "timm", "safetensors")
    extra = "timm"
    model_input = ("x", "NCHW")
    library = "timm"
    example = """
import json
import timm
import torch
from PIL import Image

config = json.load(open("PATH/config.json"))
model = timm.create_model(
    config["architecture"], checkpoint_path="PATH/model.safetensors", **config["model_args"]
).eval()
transform = timm.data.create_transform(**timm.data.resolve_data_config(config["pretrained_cfg"]))
image = Image.open("photo.jpg").convert("RGB")
with torch.no_grad():
    outputs = model(transform(image)[None])  # logits; of an encoder, the pooled vector
print(config["label_names"][outputs.argmax(-1).item()])
"""

    def outputs(self, graph):
        from eesmm_keras.exports.foreign import last_level

        return [name for name in graph.outputs if name in ("pooled", last_level(graph))]

    def write(self, graph, metadata, path):
        import safetensors.torch
        import timm

        from eesmm_keras.exports.foreign import Foreign, write_json

        foreign = Foreign("timm", graph.model)
        arguments = {**foreign.config, "num_classes": foreign.num_classes}
        peer = timm.create_model(foreign.model_class, **arguments)
        foreign.load_torch(peer)
        path.mkdir()
        state = {name: value.contiguous() for name, value in peer.state_dict().items()}
        safetensors.torch.save_file(state, path / "model.safetensors", {"format": "pt"})
        height, width = metadata["image_size"]
        config = {
            "architecture": foreign.model_class,
            "num_classes": foreign.num_classes,
            "num_features": peer.num_features,
            "global_pool": peer.global_pool,
            "model_args": arguments,
            "pretrained_cfg": {
                "num_classes": foreign.num_classes,
                "input_size": [graph.spec.shape[-1], height, width],
                "fixed_input_size": True,
                "interpolation": "bilinear",
                "crop_pct": 1.0,
                "mean": metadata["preprocessing"]["mean"],
                "std": metadata["preprocessing"]["std"],
            },
        }
        if foreign.num_classes:
            config["label_names"] = foreign.class_names()
        write_json(path / "config.json", config)

    def run(self, path, batches):
        import json
        from pathlib import Path

        import numpy as np
        import timm
        import torch

        config = json.loads(Path(path, "config.json").read_text("utf-8"))
        weights = str(Path(path, "model.safetensors"))
        model = timm.create_model(
            config["architecture"], checkpoint_path=weights, **config["model_args"]
        ).eval()
        mean, std = (np.array(config["pretrained_cfg"][name]) for name in ("mean", "std"))
        results = {}
        for batch, images in batches.items():
            pixels = ((images / 255 - mean) / std).astype("float32")
            with torch.no_grad():
                x = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
                results[batch] = _named(model, x, config["model_args"])
        return results

    def owns(self, path):
        try:
            return '"architecture"' in (path / "config.json").read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return False


def _named(model, x, arguments):
    """timm's outputs by our names; maps as `(B, rows, cols, C)`."""
    if arguments["num_classes"]:
        return {"logits": model(x).numpy()}
    tokens = model.forward_features(x)
    if tokens.ndim == 3:  # in a row; ViT's behind the class token
        tokens = tokens[:, getattr(model, "num_prefix_tokens", 0) :]
        stride = math.isqrt(x.shape[2] * x.shape[3] // tokens.shape[1])
        tokens = tokens.reshape(len(x), x.shape[2] // stride, x.shape[3] // stride, -1)
    stride = x.shape[2] // tokens.shape[1]
    return {"pooled": model(x).numpy(), f"P{stride.bit_length() - 1}": tokens.numpy()}

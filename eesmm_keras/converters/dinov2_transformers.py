import numpy as np

from eesmm_keras.converters.vit_layout import ViTLayout
from eesmm_keras.converters.vit_transformers import ViTTransformers
from eesmm_keras.errors import UserError

_BLOCK = "layers.{a}"


class Dinov2Transformers(ViTLayout):
    """transformers: Dinov2Model and Dinov2ForImageClassification, a ViT with LayerScale.

    Its classifier takes the class token beside the mean of the patches, so it can also be one that
    takes the mean alone: with zeros for the token.
    """

    title = "DINOv2 of transformers"
    anchor = ViTTransformers.anchor
    renames = ViTTransformers.renames
    names = {
        "patch_embedding/projection": "embeddings.patch_embeddings.projection",
        "block_{a}/norm1": f"{_BLOCK}.norm1",
        "block_{a}/qkv": tuple(f"{_BLOCK}.attention.{part}_proj" for part in "qkv"),
        "block_{a}/projection": f"{_BLOCK}.attention.o_proj",
        "block_{a}/norm2": f"{_BLOCK}.norm2",
        "block_{a}/mlp/expand": f"{_BLOCK}.mlp.fc1",
        "block_{a}/mlp/contract": f"{_BLOCK}.mlp.fc2",
        "norm": "layernorm",
    }
    outside = {"classifier": "classifier"}
    blocks = ViTTransformers.blocks
    class_token = ViTTransformers.class_token
    positions = ViTTransformers.positions
    scales = {
        "/projection": f"{_BLOCK}.layer_scale1.lambda1",
        "/mlp/contract": f"{_BLOCK}.layer_scale2.lambda1",
    }
    ignored = r"mask_token"
    refused = {
        r"mlp\.weights_(in|out)": "a gated MLP",
        r"register_tokens": "more than one token before the patches",
    }
    neutral = {r"layer_scale\d\.lambda1": 1.0}
    note = "Apache-2.0 for Meta's DINOv2"
    checked = "transformers 5.23, run"
    library = "transformers"

    def matches(self, names, outer):
        return "layers.0.layer_scale1.lambda1" in names

    def array(self, path, weights):
        array = super().array(path, weights)
        return array[len(array) // 2 :] if path == "classifier/kernel" else array

    def pooling(self, weights):
        if "classifier.weight" not in weights:
            return None
        kernel = weights.array("classifier.weight")
        return None if kernel[:, : kernel.shape[1] // 2].any() else "mean"

    def parts(self, path, array, shapes):
        if path == "classifier/kernel":
            array = np.concatenate([np.zeros_like(array), array])
        return super().parts(path, array, shapes)

    def model_class(self, encoder, pooling):
        if encoder.class_token and pooling == "mean":
            return "Dinov2ForImageClassification"
        return None

    def config(self, encoder, pooling):
        height, width, _ = encoder.image_shape
        if encoder.mlp_ratio != int(encoder.mlp_ratio) or height != width:
            raise UserError(
                f"{self.title} takes square images and has MLPs a whole number of times as wide as a "
                f"token, and this encoder takes {height}x{width} pixels and has mlp_ratio="
                f"{encoder.mlp_ratio:g}: it cannot be written. onnx and savedmodel take it."
            )
        return {
            "image_size": height,
            "patch_size": encoder.patch_size,
            "num_channels": encoder.image_shape[2],
            "hidden_size": encoder.dim,
            "num_hidden_layers": encoder.depth,
            "num_attention_heads": encoder.num_heads,
            "mlp_ratio": int(encoder.mlp_ratio),
            "hidden_dropout_prob": encoder.dropout,
            "drop_path_rate": encoder.drop_path,
            "layer_norm_eps": encoder.norm_epsilon,
            "layerscale_value": 1.0,
            "use_mask_token": False,
        }

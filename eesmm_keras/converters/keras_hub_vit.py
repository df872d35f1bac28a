from eesmm_keras.converters.keras_hub_layout import KERAS_LEAVES, flat, numbered
from eesmm_keras.converters.vit_layout import ViTLayout

_BLOCK, _PATCHES = "blocks.{a}", "vi_t_patching_and_embedding"


class KerasHubViT(ViTLayout):
    """keras-hub's ViTBackbone: a preset's folder, or its `model.weights.h5`."""

    title = "ViT of keras-hub"
    anchor = f"{_PATCHES}.patch_embedding.0"
    leaves = KERAS_LEAVES
    renames = (
        (r"vi_t_encoder\.encoder_layers\.vi_t_encoder_block(?:_(\d+))?\.", numbered("blocks")),
    )
    names = {
        "patch_embedding/projection": f"{_PATCHES}.patch_embedding",
        "block_{a}/norm1": f"{_BLOCK}.layer_norm_1",
        "block_{a}/qkv": tuple(f"{_BLOCK}.mha.{p}_dense" for p in ("query", "key", "value")),
        "block_{a}/projection": f"{_BLOCK}.mha.output_dense",
        "block_{a}/norm2": f"{_BLOCK}.layer_norm_2",
        "block_{a}/mlp/expand": f"{_BLOCK}.mlp.dense_1",
        "block_{a}/mlp/contract": f"{_BLOCK}.mlp.dense_2",
        "norm": "vi_t_encoder.layer_norm",
    }
    class_token = f"{_PATCHES}.0"
    positions = f"{_PATCHES}.position_embedding.0"
    note = "stated by the preset's own page"
    checked = "keras-hub 0.32, run"

    def matches(self, names, outer):
        return "blocks.0.mha.query_dense.0" in names

    def patches(self, weights):
        *patch, channels, out = weights.shape(self.anchor)
        return out, channels, patch

    def join(self, path, parts):
        return flat(path, parts)

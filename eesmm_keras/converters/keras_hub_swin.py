from eesmm_keras.converters.keras_hub_layout import KERAS_LEAVES, flat, numbered
from eesmm_keras.converters.swin_layout import SwinLayout

_BLOCK = "stages.{a}.blocks.{b}"


class KerasHubSwin(SwinLayout):
    """keras-hub's SwinTransformerBackbone: a preset's folder, or its `model.weights.h5`."""

    title = "Swin of keras-hub"
    anchor = "patch_embedding.proj.0"
    leaves = KERAS_LEAVES
    renames = (
        (r"swin_transformer_stage(?:_(\d+))?\.", numbered("stages")),
        (r"swin_transformer_block(?:_(\d+))?\.", numbered("")),
    )
    names = {
        "patch_embedding/projection": "patch_embedding.proj",
        "patch_embedding/norm": "patch_embedding.norm",
        "stage_{a}/block_{b}/norm1": f"{_BLOCK}.norm1",
        "stage_{a}/block_{b}/attention/qkv": f"{_BLOCK}.attn.qkv",
        "stage_{a}/block_{b}/attention/projection": f"{_BLOCK}.attn.proj",
        "stage_{a}/block_{b}/attention/relative_position_table": f"{_BLOCK}.attn.0",
        "stage_{a}/block_{b}/norm2": f"{_BLOCK}.norm2",
        "stage_{a}/block_{b}/mlp/expand": f"{_BLOCK}.mlp.fc1",
        "stage_{a}/block_{b}/mlp/contract": f"{_BLOCK}.mlp.fc2",
        "merging_{a}/norm": "stages.{a}.downsample.norm",
        "merging_{a}/reduction": "stages.{a}.downsample.reduction",
        "norm": "layer_normalization",
    }
    stages = r"stages\.(\d+)\.blocks\."
    blocks = r"stages\.{}\.blocks\.(\d+)\."
    note = "stated by the preset's own page"
    checked = "keras-hub 0.32, run"

    def matches(self, names, outer):
        return "stages.0.blocks.0.attn.0" in names

    def patches(self, weights):
        *patch, channels, out = weights.shape(self.anchor)
        return out, channels, patch

    def join(self, path, parts):
        return flat(path, parts)

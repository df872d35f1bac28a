from eesmm_keras.converters.keras_hub_layout import KerasHub, numbered
from eesmm_keras.converters.swin_layout import SwinLayout, is_padded, stage_maps
from eesmm_keras.errors import UserError

_BLOCK = "stages.{a}.blocks.{b}"


class KerasHubSwin(KerasHub, SwinLayout):
    """keras-hub's SwinTransformerBackbone: a preset's folder, or its `model.weights.h5`."""

    title = "Swin of keras-hub"
    anchor = "patch_embedding.proj.0"
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

    def matches(self, names, outer):
        return "stages.0.blocks.0.attn.0" in names

    def arguments(self, weights):
        arguments = super().arguments(weights)
        if any(is_padded(*sides) for sides in stage_maps(arguments)):
            height, width, _ = arguments["image_shape"]
            weights.notes.append(
                f"keras-hub pads maps in another way: at {height}x{width} pixels, whose maps are no "
                "multiple of the window, features differ."
            )
        return arguments

    def model_class(self, encoder, pooling):
        names = {None: "SwinTransformerBackbone", "mean": "SwinTransformerImageClassifier"}
        return names.get(pooling)

    def config(self, encoder, pooling):
        self.check_shift(encoder)
        self.check_plain(encoder)
        window = self.one_window(encoder)
        for stage in encoder.geometry:
            sides = (stage.height, stage.width)
            if is_padded(*sides, window):
                raise UserError(
                    f"{self.title} pads maps in another way: here they have {sides[0]}x{sides[1]} "
                    f"places, no multiple of the window {window}, so that features would differ. "
                    "encoder.resized(...) changes the size."
                )
        return {
            "image_shape": list(encoder.image_shape),
            "patch_size": encoder.patch_size,
            "embed_dim": encoder.embed_dim,
            "depths": list(encoder.depths),
            "num_heads": list(encoder.num_heads),
            "window_size": window,
            "mlp_ratio": encoder.mlp_ratio,
            "qkv_bias": encoder.qkv_bias,
            "dropout_rate": encoder.dropout,
            "attention_dropout": encoder.attention_dropout,
            "drop_path": encoder.drop_path,
        }

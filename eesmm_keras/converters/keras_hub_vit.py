from eesmm_keras.converters.keras_hub_layout import KerasHub, numbered
from eesmm_keras.converters.vit_layout import ViTLayout

_BLOCK, _PATCHES = "blocks.{a}", "vi_t_patching_and_embedding"


class KerasHubViT(KerasHub, ViTLayout):
    """keras-hub's ViTBackbone: a preset's folder, or its `model.weights.h5`."""

    title = "ViT of keras-hub"
    anchor = f"{_PATCHES}.patch_embedding.0"
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

    def matches(self, names, outer):
        return "blocks.0.mha.query_dense.0" in names

    def pooling(self, weights):
        config, token = weights.source.config, self.class_token in weights
        if config.get("intermediate_dim"):
            return None
        kind = config.get("pooling", "token" if token else "gap")
        # Their mean takes in the class token.
        return "token" if kind == "token" else None if token else "mean"

    def model_class(self, encoder, pooling):
        if pooling is None:
            return "ViTBackbone"
        fits = pooling == ("token" if encoder.class_token else "mean")
        return "ViTImageClassifier" if fits else None

    def config(self, encoder, pooling):
        return {
            "image_shape": list(encoder.image_shape),
            "patch_size": encoder.patch_size,
            "num_layers": encoder.depth,
            "num_heads": encoder.num_heads,
            "hidden_dim": encoder.dim,
            "mlp_dim": int(encoder.dim * encoder.mlp_ratio),
            "dropout_rate": encoder.dropout,
            "layer_norm_epsilon": encoder.norm_epsilon,
            "use_class_token": encoder.class_token,
        }

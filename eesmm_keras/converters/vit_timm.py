from eesmm_keras.converters.swin_layout import one_or_two
from eesmm_keras.converters.vit_layout import ViTLayout
from eesmm_keras.errors import UserError

TIMM_NAMES = {
    "patch_embedding/projection": "patch_embed.proj",
    "block_{a}/norm1": "blocks.{a}.norm1",
    "block_{a}/qkv": "blocks.{a}.attn.qkv",
    "block_{a}/projection": "blocks.{a}.attn.proj",
    "block_{a}/norm2": "blocks.{a}.norm2",
    "block_{a}/mlp/expand": "blocks.{a}.mlp.fc1",
    "block_{a}/mlp/contract": "blocks.{a}.mlp.fc2",
    "norm": "norm",
}


class ViTTimm(ViTLayout):
    """ViT of timm: DeiT, DeiT III (LayerScale is folded in), AugReg; MAE's official encoder too."""

    title = "ViT of timm"
    anchor = "patch_embed.proj.weight"
    names = TIMM_NAMES
    scales = {"/projection": "blocks.{a}.ls1.gamma", "/mlp/contract": "blocks.{a}.ls2.gamma"}
    refused = {
        r"dist_token|reg_token": "more than one token before the patches",
        r"attn\.(q|k)_norm": "normalised queries and keys",
        r"attn\.norm|mlp\.norm": "normalisation inside attention or MLP",
        r"^fc_norm\.": "its last normalisation behind the pooling",
        r"norm_pre|pre_norm": "normalisation before the blocks",
        r"relative_position|rel_pos": "relative positions",
        r"mlp\.(w12|fc1_g|gate)": "a gated MLP",
        r"patch_embed\.(norm|backbone)|patch_embed\d": "another patch embedding",
    }
    note = "Apache-2.0 for Google's and DeiT's weights; others state their own"
    outside = {"classifier": "head"}
    checked = "timm 1.0.31, run"
    library = "timm"

    def matches(self, names, outer):
        return "blocks.0.attn.qkv.weight" in names and "pos_embed" in names

    def pooling(self, weights):
        config = weights.source.config
        stated = config.get("model_args") if isinstance(config.get("model_args"), dict) else config
        usual = "token" if self.class_token in weights else "avg"
        kind = stated.get("global_pool", config.get("global_pool", usual))
        return {"avg": "mean", "token": "token"}.get(kind)

    def model_class(self, encoder, pooling):
        return _PUBLISHED.get((encoder.dim, encoder.depth), _PUBLISHED[192, 12])

    def config(self, encoder, pooling):
        if encoder.norm_epsilon != self.norm_epsilon:
            raise UserError(
                f"{self.title} adds 1e-06 in its normalisations and this encoder "
                f"{encoder.norm_epsilon:g}: it cannot be written."
            )
        return {
            "img_size": one_or_two(encoder.image_shape[:2]),
            "patch_size": encoder.patch_size,
            "in_chans": encoder.image_shape[2],
            "embed_dim": encoder.dim,
            "depth": encoder.depth,
            "num_heads": encoder.num_heads,
            "mlp_ratio": encoder.mlp_ratio,
            "class_token": encoder.class_token,
            "global_pool": "token" if pooling == "token" else "avg",
            "fc_norm": False,
        }


# Any of timm's names takes any arguments; the published sizes keep theirs.
_PUBLISHED = {
    (192, 12): "vit_tiny_patch16_224",
    (384, 12): "vit_small_patch16_224",
    (768, 12): "vit_base_patch16_224",
    (1024, 24): "vit_large_patch16_224",
}

from eesmm_keras.converters.vit_layout import ViTLayout

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
    checked = "timm 1.0.31, run"

    def matches(self, names, outer):
        return "blocks.0.attn.qkv.weight" in names and "pos_embed" in names

from eesmm_keras.converters.swin_layout import one_or_two
from eesmm_keras.converters.vit_layout import MAEDecoder, ViTLayout

_BLOCK, _DECODER = "layers.{a}", "decoder.decoder_layers.{a}"


def _block(ours, theirs):
    return {
        f"{ours}/norm1": f"{theirs}.layernorm_before",
        f"{ours}/qkv": tuple(f"{theirs}.attention.{part}_proj" for part in "qkv"),
        f"{ours}/projection": f"{theirs}.attention.o_proj",
        f"{ours}/norm2": f"{theirs}.layernorm_after",
        f"{ours}/mlp/expand": f"{theirs}.mlp.fc1",
        f"{ours}/mlp/contract": f"{theirs}.mlp.fc2",
    }


class ViTTransformers(MAEDecoder, ViTLayout):
    """transformers: ViTModel and what is built on it, undistilled DeiT, ViTMAE with decoder, I-JEPA.

    I-JEPA is a ViT without a class token; its classifier takes the mean of the tokens.

    Files that transformers writes (5.23 too) and those on the hub have the older of two spellings; in
    memory, 5.23 has the newer one.
    """

    title = "ViT of transformers"
    anchor = "embeddings.patch_embeddings.projection.weight"
    renames = (
        (r"attention\.attention\.(query|key|value)\.", lambda m: f"attention.{m[1][0]}_proj."),
        (r"attention\.output\.dense\.", "attention.o_proj."),
        (r"intermediate\.dense\.", "mlp.fc1."),
        (r"(layer\.\d+\.)output\.dense\.", r"\1mlp.fc2."),
        (r"decoder_encoder\.layer\.", "decoder_layers."),
        (r"decoder\.decoder_layers\.", "decoder.decoder_layers."),
        (r"(^|\.)encoder\.layer\.", r"\1layers."),
    )
    names = {
        "patch_embedding/projection": "embeddings.patch_embeddings.projection",
        **_block("block_{a}", _BLOCK),
        "norm": "layernorm",
    }
    outside = {
        "classifier": "classifier",
        "decoder/embed": "decoder.decoder_embed",
        "decoder/mask_token": "decoder.mask_token",
        **_block("decoder/block_{a}", _DECODER),
        "decoder/norm": "decoder.decoder_norm",
        "decoder/head": "decoder.decoder_pred",
    }
    decoder_positions = "decoder.decoder_pos_embed"
    blocks = r"layers\.(\d+)\."
    class_token = "embeddings.cls_token"
    positions = "embeddings.position_embeddings"
    ignored = r"decoder_pos_embed"
    refused = {r"distillation_token": "more than one token before the patches"}
    norm_epsilon = 1e-12
    note = "Apache-2.0 for Google's ViT and DeiT; MAE's weights: CC BY-NC 4.0 at their origin"
    checked = "transformers 5.23, run"
    library = "transformers"

    def matches(self, names, outer):
        return "layers.0.layernorm_before.weight" in names

    def pooling(self, weights):
        return "token" if self.class_token in weights else "mean"

    def model_class(self, encoder, pooling):
        names = {None: "IJepaModel", "mean": "IJepaForImageClassification"}
        if encoder.class_token:
            names = {None: "ViTModel", "token": "ViTForImageClassification"}
        return names.get(pooling)

    def config(self, encoder, pooling):
        return {
            "image_size": one_or_two(encoder.image_shape[:2]),
            "patch_size": encoder.patch_size,
            "num_channels": encoder.image_shape[2],
            "hidden_size": encoder.dim,
            "num_hidden_layers": encoder.depth,
            "num_attention_heads": encoder.num_heads,
            "intermediate_size": int(encoder.dim * encoder.mlp_ratio),
            "hidden_dropout_prob": encoder.dropout,
            "layer_norm_eps": encoder.norm_epsilon,
        }

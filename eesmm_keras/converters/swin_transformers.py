from eesmm_keras.converters.simmim_official import simmim_array
from eesmm_keras.converters.swin_layout import SwinLayout, one_or_two

_BLOCK = "encoder.layers.{a}.blocks.{b}"


class SwinTransformers(SwinLayout):
    """transformers: SwinModel, SwinForImageClassification, SwinForMaskedImageModeling.

    Files that transformers writes (5.23 too) and those on the hub have the older of two spellings; in
    memory, 5.23 has the newer one.
    """

    title = "Swin of transformers"
    anchor = "embeddings.patch_embeddings.projection.weight"
    renames = (
        (r"attention\.self\.(query|key|value)\.", lambda m: f"attention.{m[1][0]}_proj."),
        (r"attention\.self\.relative_position_bias_table",
         "attention.relative_position_bias.relative_position_bias_table"),
        (r"attention\.self\.relative_position_index", "attention.relative_position_index"),
        (r"attention\.output\.dense\.", "attention.o_proj."),
        (r"intermediate\.dense\.", "mlp.fc1."),
        (r"(blocks\.\d+\.)output\.dense\.", r"\1mlp.fc2."),
    )  # fmt: skip
    names = {
        "patch_embedding/projection": "embeddings.patch_embeddings.projection",
        "patch_embedding/norm": "embeddings.norm",
        "stage_{a}/block_{b}/norm1": f"{_BLOCK}.layernorm_before",
        "stage_{a}/block_{b}/attention/qkv": tuple(f"{_BLOCK}.attention.{p}_proj" for p in "qkv"),
        "stage_{a}/block_{b}/attention/projection": f"{_BLOCK}.attention.o_proj",
        "stage_{a}/block_{b}/attention/relative_position_table": (
            f"{_BLOCK}.attention.relative_position_bias.relative_position_bias_table"
        ),
        "stage_{a}/block_{b}/norm2": f"{_BLOCK}.layernorm_after",
        "stage_{a}/block_{b}/mlp/expand": f"{_BLOCK}.mlp.fc1",
        "stage_{a}/block_{b}/mlp/contract": f"{_BLOCK}.mlp.fc2",
        "merging_{a}/norm": "encoder.layers.{a}.downsample.norm",
        "merging_{a}/reduction": "encoder.layers.{a}.downsample.reduction",
        "norm": "layernorm",
    }
    outside = {
        "mask_token": "embeddings.mask_token",
        "head": "decoder.0",
        "classifier": "classifier",
    }
    stages = r"encoder\.layers\.(\d+)\.blocks\."
    blocks = r"encoder\.layers\.{}\.blocks\.(\d+)\."
    positions = "embeddings.position_embeddings"
    note = "MIT for Microsoft's Swin and SimMIM; other weights on the hub state their own"
    checked = "transformers 5.23, run"
    library = "transformers"

    def matches(self, names, outer):
        return "encoder.layers.0.blocks.0.layernorm_before.weight" in names

    def arguments(self, weights):
        arguments = super().arguments(weights)
        if arguments["norm_epsilon"] != 1e-5:
            weights.notes.append(
                f"transformers adds {arguments['norm_epsilon']:g} in the blocks' normalisations and "
                "1e-05 in those of patches and merging; here all add the first."
            )
        return arguments

    def array(self, path, weights):
        array = super().array(path, weights)
        return None if array is None else simmim_array(path, array)

    def model_class(self, encoder, pooling):
        return {None: "SwinModel", "mean": "SwinForImageClassification"}.get(pooling)

    def config(self, encoder, pooling):
        self.check_shift(encoder)
        return {
            "image_size": one_or_two(encoder.image_shape[:2]),
            "patch_size": encoder.patch_size,
            "num_channels": encoder.image_shape[2],
            "embed_dim": encoder.embed_dim,
            "depths": list(encoder.depths),
            "num_heads": list(encoder.num_heads),
            "window_size": self.one_window(encoder),
            "mlp_ratio": encoder.mlp_ratio,
            "qkv_bias": encoder.qkv_bias,
            "hidden_dropout_prob": encoder.dropout,
            "attention_probs_dropout_prob": encoder.attention_dropout,
            "drop_path_rate": encoder.drop_path,
            "use_absolute_embeddings": bool(encoder.positions),
            "layer_norm_eps": encoder.norm_epsilon,
            "encoder_stride": encoder.stride,
        }

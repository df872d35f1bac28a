from eesmm_keras.converters.converter import Converter
from eesmm_keras.converters.swin_layout import image_side, normalization, positions_kind
from eesmm_keras.converters.vit_layout import MAEDecoder
from eesmm_keras.errors import UserError

_CONV, _VIT = "stage_{a}/block_{b}", "block_{a}"

# Layers of DMJD's projector and predictor, which `torch.nn.Sequential` numbers with its activations.
_PROJECTOR = {
    "projector/dense_0": "proj_embed.0",
    "projector/norm_0": "proj_embed.1",
    "projector/dense_1": "proj_embed.3",
    "projector/norm_1": "proj_embed.4",
    "projector/dense_2": "proj_embed.6",
    "projector/dense_3": "predictor.0",
}


class DMJDOfficial(MAEDecoder, Converter):
    """The official code of DMJD (Ma et al., 2022) and of ConvMAE, from which its encoder is."""

    title = "DMJD or ConvMAE of the official code"
    encoder = "eesmm_keras.backbones.convit:ConViTBackbone"
    anchor = "patch_embed1.proj.weight"
    names = {
        "patch_embedding/projection": "patch_embed1.proj",
        "patch_embedding/norm": "patch_embed1.norm",
        "merging_{a}/projection": "patch_embed{a+1}.proj",
        "merging_{a}/norm": "patch_embed{a+1}.norm",
        f"{_CONV}/norm1": "blocks{a+1}.{b}.norm1",
        f"{_CONV}/before": "blocks{a+1}.{b}.conv1",
        f"{_CONV}/depthwise": "blocks{a+1}.{b}.attn",
        f"{_CONV}/after": "blocks{a+1}.{b}.conv2",
        f"{_CONV}/norm2": "blocks{a+1}.{b}.norm2",
        f"{_CONV}/mlp/expand": "blocks{a+1}.{b}.mlp.fc1",
        f"{_CONV}/mlp/contract": "blocks{a+1}.{b}.mlp.fc2",
        "token_projection": "patch_embed4",
        f"{_VIT}/norm1": "blocks3.{a}.norm1",
        f"{_VIT}/qkv": "blocks3.{a}.attn.qkv",
        f"{_VIT}/projection": "blocks3.{a}.attn.proj",
        f"{_VIT}/norm2": "blocks3.{a}.norm2",
        f"{_VIT}/mlp/expand": "blocks3.{a}.mlp.fc1",
        f"{_VIT}/mlp/contract": "blocks3.{a}.mlp.fc2",
        "fusion_{a}": "stage{a+1}_output_decode",
        "norm": "norm",
    }
    ignored = r"^(decoder_)?pos_embed$"
    refused = {r"^fc_norm\.": "its last normalisation behind the pooling"}
    note = "MIT for the official code"
    checked = "the official code, run"

    def matches(self, names, outer):
        return "blocks1.0.conv1.weight" in names

    def arguments(self, weights):
        _, channels, patch = self.patches(weights)
        dims = [weights.shape(f"patch_embed{stage}.proj.bias")[0] for stage in (1, 2, 3)]
        table = weights.array("pos_embed").reshape(-1, dims[-1])
        grid = self._grid(weights, len(table), 4 * patch[0])
        weights.assumed["num_heads"] = (
            "The number of heads is not in the source: "
            f"{max(1, dims[-1] // 64)} are assumed, 64 wide."
        )
        return {
            "image_shape": (grid[0] * 4 * patch[0], grid[1] * 4 * patch[0], channels),
            "patch_size": patch[0],
            "dims": tuple(dims),
            "depths": tuple(weights.count(rf"blocks{stage}\.(\d+)\.") for stage in (1, 2, 3)),
            "num_heads": max(1, dims[-1] // 64),
            "mlp_ratio": tuple(
                weights.shape(f"blocks{i + 1}.0.mlp.fc1.bias")[0] / dim
                for i, dim in enumerate(dims)
            ),
            "kernel_size": weights.shape("blocks1.0.attn.weight")[-1],
            "positions": positions_kind(table, grid, dims[-1]),
            "fusion": "stage1_output_decode.weight" in weights,
            **normalization(weights, channels),
        }

    def _grid(self, weights, places, stride):
        size = image_side(weights) or stride * round(places**0.5)
        height, width = (size, size) if isinstance(size, int) else size
        if (height // stride) * (width // stride) != places:
            raise UserError(
                f"{weights.source.where} has positions for {places} patches, which is no square, and "
                "no image size that explains them."
            )
        return height // stride, width // stride

    def theirs(self, path):
        if path == "positions/table":
            return ("pos_embed",)
        above, _, leaf = path.rpartition("/")
        if above in _PROJECTOR and leaf in self.leaves:
            return (f"{_PROJECTOR[above]}.{self.leaves[leaf]}",)
        return super().theirs(path)

    def join(self, path, parts):
        if path == "positions/table":
            return parts[0].reshape(-1, parts[0].shape[-1])
        if path.endswith("/depthwise/kernel"):
            return parts[0].transpose(2, 3, 0, 1)
        return super().join(path, parts)

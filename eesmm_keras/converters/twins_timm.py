from eesmm_keras.converters.converter import Converter
from eesmm_keras.converters.swin_layout import image_side, normalization, one_or_two
from eesmm_keras.errors import UserError

_BLOCK, _THEIRS = "stage_{a}/block_{b}", "blocks.{a}.{b}"
_PATHS = {
    "norm1": "norm1",
    "attention/qkv": "attn.qkv",
    "attention/query": "attn.q",
    "attention/key_value": "attn.kv",
    "attention/summary/projection": "attn.sr",
    "attention/summary/norm": "attn.norm",
    "attention/projection": "attn.proj",
    "norm2": "norm2",
    "mlp/expand": "mlp.fc1",
    "mlp/contract": "mlp.fc2",
}


class TwinsTimm(Converter):
    """Twins of timm, and of the official code, whose names timm kept."""

    title = "Twins of timm"
    encoder = "eesmm_keras.backbones.twins:TwinsBackbone"
    anchor = "patch_embeds.0.proj.weight"
    names = {
        "patch_embedding/projection": "patch_embeds.0.proj",
        "patch_embedding/norm": "patch_embeds.0.norm",
        "merging_{a}/projection": "patch_embeds.{a+1}.proj",
        "merging_{a}/norm": "patch_embeds.{a+1}.norm",
        "stage_{a}/positions": "pos_block.{a}.proj.0",
        "norm": "norm",
        **{f"{_BLOCK}/{ours}": f"{_THEIRS}.{theirs}" for ours, theirs in _PATHS.items()},
    }
    leaves = {**Converter.leaves, "filters": "weight"}
    outside = {"classifier": "head"}
    note = "Apache-2.0 for the weights of the official Twins"
    checked = "timm 1.0.31, run"
    library = "timm"

    def matches(self, names, outer):
        return "pos_block.0.proj.0.weight" in names

    def arguments(self, weights):
        _, channels, patch = self.patches(weights)
        where, stages = weights.source.where, weights.count(r"pos_block\.(\d+)\.")
        if len(patch) != 2 or patch[0] != patch[1]:
            raise UserError(f"{where} has patches of {patch}; squares are expected.")
        dims = [weights.shape(f"patch_embeds.{stage}.proj.bias")[0] for stage in range(stages)]
        for stage in range(1, stages):
            shape = weights.shape(f"patch_embeds.{stage}.proj.weight")
            if tuple(shape) != (dims[stage], dims[stage - 1], 2, 2):
                # spconv's kernels have their axes in another order.
                raise UserError(
                    f"{where}: patch_embeds.{stage}.proj.weight has the shape {tuple(shape)}, and "
                    f"{(dims[stage], dims[stage - 1], 2, 2)} is expected. Weights of GreenMIM's "
                    "sparse convolutions cannot be taken over."
                )
        stated = weights.source.config.get("model_args")
        stated = stated if isinstance(stated, dict) else {}
        windowed = "blocks.0.0.attn.qkv.weight" in weights
        image = stated.get("img_size") or image_side(weights)
        if not image:
            image = 224
            weights.assumed["image_shape"] = "The image size is not in the source: 224 is assumed."
        height, width = (image, image) if isinstance(image, int) else image
        ratios = [
            weights.shape(f"blocks.{stage}.0.mlp.fc1.bias")[0] / dims[stage]
            for stage in range(stages)
        ]
        return {
            "image_shape": (height, width, channels),
            "patch_size": patch[0],
            "dims": tuple(dims),
            "depths": tuple(weights.count(rf"blocks\.{s}\.(\d+)\.") for s in range(stages)),
            "num_heads": self._heads(weights, dims, stated, 32 if windowed else 64),
            "window_size": self._window(weights, stated) if windowed else None,
            "reductions": tuple(
                self._reduction(weights, stage, windowed) for stage in range(stages)
            ),
            "mlp_ratio": ratios[0] if len(set(ratios)) == 1 else tuple(ratios),
            **normalization(weights, channels),
        }

    def _heads(self, weights, dims, stated, width):
        if "num_heads" in stated:
            return tuple(stated["num_heads"])
        heads = tuple(max(1, dim // width) for dim in dims)
        weights.assumed["num_heads"] = (
            f"The numbers of heads are not in the source: {list(heads)} are assumed, {width} wide."
        )
        return heads

    def _window(self, weights, stated):
        windows = tuple(stated.get("wss") or ())
        if not windows:
            weights.assumed["window_size"] = "The window is not in the source: 7 is assumed."
            return 7
        return windows[0] if len(set(windows)) == 1 else windows

    def _reduction(self, weights, stage, windowed):
        """Side of a cell: of the kernel that summarises it, which a reduction of 1 has none of."""
        name = f"blocks.{stage}.{int(windowed)}.attn.sr.weight"
        return weights.shape(name)[-1] if name in weights else 1

    def join(self, path, parts):
        if path.endswith("/filters"):
            return parts[0].transpose(2, 3, 0, 1)
        return super().join(path, parts)

    def split(self, path, array, shapes):
        if path.endswith("/filters"):
            return [array.transpose(2, 3, 0, 1)]
        return super().split(path, array, shapes)

    def model_class(self, encoder, pooling):
        if pooling not in (None, "mean"):
            return None
        kind = "pcpvt" if encoder.window_size is None else "svt"
        return _PUBLISHED.get((kind, encoder.dims, encoder.depths), f"twins_{kind}_small")

    def config(self, encoder, pooling):
        if encoder.norm_epsilon != 1e-6:
            raise UserError(
                f"{self.title} adds 1e-06 in its normalisations and this encoder "
                f"{encoder.norm_epsilon:g}: it cannot be written."
            )
        windows = [stage.window for stage in encoder.geometry]
        return {
            "img_size": one_or_two(encoder.image_shape[:2]),
            "patch_size": encoder.patch_size,
            "in_chans": encoder.image_shape[2],
            "embed_dims": list(encoder.dims),
            "depths": list(encoder.depths),
            "num_heads": list(encoder.num_heads),
            "mlp_ratios": [stage.mlp_ratio for stage in encoder.stages],
            "sr_ratios": list(encoder.reductions),
            "wss": windows if encoder.window_size is not None else None,
        }


# Any of timm's names takes any arguments; the published sizes keep theirs.
_PUBLISHED = {
    ("svt", (64, 128, 256, 512), (2, 2, 10, 4)): "twins_svt_small",
    ("svt", (96, 192, 384, 768), (2, 2, 18, 2)): "twins_svt_base",
    ("svt", (128, 256, 512, 1024), (2, 2, 18, 2)): "twins_svt_large",
    ("pcpvt", (64, 128, 320, 512), (3, 4, 6, 3)): "twins_pcpvt_small",
    ("pcpvt", (64, 128, 320, 512), (3, 4, 18, 3)): "twins_pcpvt_base",
    ("pcpvt", (64, 128, 320, 512), (3, 8, 27, 3)): "twins_pcpvt_large",
}

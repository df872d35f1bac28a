"""Published sizes of encoders as plain constructor arguments. Weights are not part of one."""

_SWIN = {
    "tiny": {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)},
    "small": {"embed_dim": 96, "depths": (2, 2, 18, 2), "num_heads": (3, 6, 12, 24)},
    "base": {"embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)},
    "large": {"embed_dim": 192, "depths": (2, 2, 18, 2), "num_heads": (6, 12, 24, 48)},
}


# For small images.
_SMALL = {
    # Three stages, final stride 8 (mask units of 8 pixels).
    "swin_mini_32": {
        "image_shape": (32, 32, 3), "patch_size": 2, "window_size": 4, "embed_dim": 48,
        "depths": (2, 2, 2), "num_heads": (2, 4, 8),
    },
    # The same for images of 64 pixels: mask units of 16.
    "swin_mini_64": {
        "image_shape": (64, 64, 3), "patch_size": 4, "window_size": 4, "embed_dim": 48,
        "depths": (2, 2, 2), "num_heads": (2, 4, 8),
    },
    # Two stages, so that a small image has 64 mask units, of 4 pixels.
    "swin_fine_32": {
        "image_shape": (32, 32, 3), "patch_size": 2, "window_size": 4, "embed_dim": 64,
        "depths": (2, 4), "num_heads": (2, 4),
    },
    # The cost ratios of Swin-T at 224 pixels in small: 64 units of 8 pixels, of which a decoder 64 wide
    # takes the same share. For experiments that should say something about the large encoders.
    "swin_proxy_64": {
        "image_shape": (64, 64, 3), "patch_size": 4, "window_size": 8, "embed_dim": 64,
        "depths": (2, 4), "num_heads": (2, 4), "kernel_initializer": "glorot_uniform",
    },
}  # fmt: skip

# MixMIM's encoder: large windows, no shift, absolute positions.
_MIXMIM = {
    "shift": False, "positions": "sincos", "window_size": (14, 14, 14, 7),
    "kernel_initializer": "glorot_uniform",
}  # fmt: skip


def _swin_presets():
    presets = {}
    for size, shape in _SWIN.items():
        for image, window in ((224, 7), (192, 6), (224, 14)):
            name = f"swin_{size}_{image}" + ("_w14" if window == 14 else "")
            presets[name] = {"image_shape": (image, image, 3), "window_size": window, **shape}
        presets[f"swin_{size}"] = presets[f"swin_{size}_224"]
    presets.update(_SMALL)
    for size, dim, heads in (("base", 128, 4), ("large", 192, 6), ("huge", 352, 11)):
        presets[f"mixmim_{size}"] = {
            "image_shape": (224, 224, 3),
            **_MIXMIM,
            "embed_dim": dim,
            "depths": (2, 2, 18, 2),
            "num_heads": (heads, 2 * heads, 4 * heads, 8 * heads),
        }
    presets["mixmim_mini_32"] = {**_SMALL["swin_mini_32"], **_MIXMIM, "window_size": (8, 8, 4)}
    return presets


SWIN_PRESETS = _swin_presets()


# Chu et al., 2021, Tables 1 and 2; heads are 32 wide in SVT and 64 in PCPVT.
_SVT = {
    "small": {"dims": (64, 128, 256, 512), "depths": (2, 2, 10, 4), "num_heads": (2, 4, 8, 16)},
    "base": {"dims": (96, 192, 384, 768), "depths": (2, 2, 18, 2), "num_heads": (3, 6, 12, 24)},
    "large": {"dims": (128, 256, 512, 1024), "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)},
}
_PCPVT = {"small": (3, 4, 6, 3), "base": (3, 4, 18, 3), "large": (3, 8, 27, 3)}

TWINS_PRESETS = {
    **{f"twins_svt_{size}": shape for size, shape in _SVT.items()},
    **{
        f"twins_pcpvt_{size}": {
            "dims": (64, 128, 320, 512), "depths": depths, "num_heads": (1, 2, 5, 8),
            "window_size": None, "mlp_ratio": (8.0, 8.0, 4.0, 4.0),
        }
        for size, depths in _PCPVT.items()
    },
    # For small images: three stages, mask units of 8 pixels.
    "twins_mini_32": {
        "image_shape": (32, 32, 3), "patch_size": 2, "window_size": 4, "dims": (48, 96, 192),
        "depths": (2, 2, 2), "num_heads": (2, 4, 8), "reductions": (4, 2, 1),
    },
}  # fmt: skip

VIT_PRESETS = {
    # Widths, blocks and heads of DeiT and MAE.
    "vit_tiny": {"dim": 192, "depth": 12, "num_heads": 3},
    "vit_small": {"dim": 384, "depth": 12, "num_heads": 6},
    "vit_base": {"dim": 768, "depth": 12, "num_heads": 12},
    "vit_large": {"dim": 1024, "depth": 24, "num_heads": 16},
    # For small images: mask units of 4 and 8 pixels.
    "vit_mini_32": {
        "image_shape": (32, 32, 3), "patch_size": 4, "dim": 192, "depth": 6, "num_heads": 6,
    },
    "vit_mini_64": {
        "image_shape": (64, 64, 3), "patch_size": 8, "dim": 192, "depth": 6, "num_heads": 6,
    },
}  # fmt: skip

_CONVIT_BASE = {"dims": (256, 384, 768), "depths": (2, 2, 11), "num_heads": 12}
CONVIT_PRESETS = {
    # DMJD's, with wide MLPs in the convolutional stages; and ConvMAE's.
    "convit_base": _CONVIT_BASE,
    "convit_large": {"dims": (384, 768, 1024), "depths": (2, 2, 23), "num_heads": 16},
    "convmae_base": {**_CONVIT_BASE, "mlp_ratio": 4.0},
    # For small images: mask units of 8 pixels.
    "convit_mini_32": {
        "image_shape": (32, 32, 3), "patch_size": 2, "dims": (48, 96, 192), "depths": (1, 1, 4),
        "num_heads": 6,
    },
}  # fmt: skip

# By the encoder's module: names that are known before Keras is imported. An encoder that is not among
# them is asked for its presets itself.
PRESETS = {
    "convit": CONVIT_PRESETS, "swin": SWIN_PRESETS, "twins": TWINS_PRESETS, "vit": VIT_PRESETS,
}  # fmt: skip


def default_backbone(data):
    """Encoder for a data set when none is named: a small one for the 8-pixel digits."""
    return "swin_mini_32" if data == "digits" else "swin_tiny"

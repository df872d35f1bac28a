"""Published encoder sizes as plain constructor arguments. Weights are not part of a preset."""

_SWIN = {
    "tiny": {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)},
    "small": {"embed_dim": 96, "depths": (2, 2, 18, 2), "num_heads": (3, 6, 12, 24)},
    "base": {"embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)},
    "large": {"embed_dim": 192, "depths": (2, 2, 18, 2), "num_heads": (6, 12, 24, 48)},
}


def _swin_presets():
    presets = {}
    for size, shape in _SWIN.items():
        for image, window in ((224, 7), (192, 6), (224, 14)):
            name = f"swin_{size}_{image}" + ("_w14" if window == 14 else "")
            presets[name] = {"image_shape": (image, image, 3), "window_size": window, **shape}
        presets[f"swin_{size}"] = presets[f"swin_{size}_224"]
    # For small images: three stages, final stride 8 (mask units of 8 pixels) and 16.
    presets["swin_mini_32"] = {
        "image_shape": (32, 32, 3),
        "patch_size": 2,
        "window_size": 4,
        "embed_dim": 48,
        "depths": (2, 2, 2),
        "num_heads": (2, 4, 8),
    }
    presets["swin_mini_64"] = {
        **presets["swin_mini_32"],
        "image_shape": (64, 64, 3),
        "patch_size": 4,
    }
    return presets


SWIN_PRESETS = _swin_presets()


def default_backbone(data):
    """Encoder for a data set when none is named: a small one for the 8-pixel digits."""
    return "swin_mini_32" if data == "digits" else "swin_tiny"

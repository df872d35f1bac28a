"""The peer: SimMIM on transformers' Swin in PyTorch, the way a PyTorch user would train it."""

from eesmm_keras.backbones.presets import SWIN_PRESETS
from eesmm_keras.benchmarking.worker import make_images

_DTYPES = {"float32": None, "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


def peer(spec):
    """A function that does one full optimisation step of SimMIM with mask ratio 0.6."""
    import numpy as np
    import torch
    from transformers import SwinConfig, SwinForMaskedImageModeling

    from eesmm_keras.backbones.swin import IMAGENET_MEAN, IMAGENET_STD
    from eesmm_keras.ops.masking import num_hidden

    preset = SWIN_PRESETS[spec["backbone"]]
    size, patch = spec["image_size"], preset.get("patch_size", 4)
    stride = patch * 2 ** (len(preset["depths"]) - 1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = SwinForMaskedImageModeling(
        SwinConfig(
            image_size=size, patch_size=patch, embed_dim=preset["embed_dim"],
            depths=list(preset["depths"]), num_heads=list(preset["num_heads"]),
            window_size=preset["window_size"], encoder_stride=stride,
        )
    ).to(device)  # fmt: skip
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.05, fused=True)
    forward = torch.compile(model) if spec["jit"] else model
    images = torch.from_numpy(make_images(spec))
    mean, std = (
        torch.tensor(x, device=device).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD)
    )
    units, repeat = (size // stride) ** 2, stride // patch
    hidden = num_hidden(units, 0.6, "up")
    rng = np.random.default_rng(0)
    dtype = _DTYPES[spec["precision"]]
    autocast = torch.autocast(device, getattr(torch, dtype or "float32"), enabled=bool(dtype))

    def step():
        pixels = images.to(device).permute(0, 3, 1, 2).float().div(255).sub(mean).div(std)
        order = np.argsort(rng.random((len(images), units)), axis=1)
        mask = torch.from_numpy(order < hidden).view(-1, size // stride, size // stride).to(device)
        mask = mask.repeat_interleave(repeat, 1).repeat_interleave(repeat, 2).flatten(1)
        with autocast:
            loss = forward(pixel_values=pixels, bool_masked_pos=mask).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step

"""A peer: SimMIM on transformers' Swin in PyTorch, the way a PyTorch user would train it.

Fused AdamW, autocast in half precision (with loss scaling in float16), torch.compile with `jit`, and
`scaled_dot_product_attention` where transformers has it for Swin. Images and masks are on the device.

eesmm benchmark --peer benchmarks/simmim_pytorch.py
"""

import math

_DTYPES = {"float32": None, "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


# ImageNet's, as everywhere.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_step(spec, images):
    """A function that does one full optimisation step of SimMIM with mask ratio 0.6.

    Args:
        spec: dict with `encoder` (arguments of the Swin), `image_size`, `precision` and `jit`.
        images: uint8 `(B, H, W, 3)`.
    """
    import torch
    from transformers import SwinConfig, SwinForMaskedImageModeling

    preset = spec["encoder"]
    if "window_size" not in preset:
        raise ValueError(
            "the peer is a Swin: choose a --backbone that is one, or leave --peer away"
        )
    size, patch = spec["image_size"], preset.get("patch_size", 4)
    stride = patch * 2 ** (len(preset["depths"]) - 1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = SwinForMaskedImageModeling(
        SwinConfig(
            image_size=size, patch_size=patch, embed_dim=preset["embed_dim"],
            depths=list(preset["depths"]), num_heads=list(preset["num_heads"]),
            window_size=preset["window_size"], encoder_stride=stride,
            attn_implementation=_attention(SwinForMaskedImageModeling),
        )
    ).to(device)  # fmt: skip
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.05, fused=True)
    forward = torch.compile(model) if spec["jit"] else model
    images = torch.from_numpy(images).to(device)
    mean, std = (torch.tensor(x, device=device).view(3, 1, 1) for x in (_MEAN, _STD))
    units, repeat = (size // stride) ** 2, stride // patch
    hidden = math.ceil(0.6 * units - 1e-9)  # 0.6 * 5 may be a hair above 3
    dtype = _DTYPES[spec["precision"]]
    scaler = torch.amp.GradScaler(device, enabled=dtype == "float16")
    autocast = torch.autocast(device, getattr(torch, dtype or "float32"), enabled=bool(dtype))

    def step():
        pixels = images.permute(0, 3, 1, 2).float().div(255).sub(mean).div(std)
        order = torch.rand((len(images), units), device=device).argsort(dim=1)
        mask = (order < hidden).view(-1, size // stride, size // stride)
        mask = mask.repeat_interleave(repeat, 1).repeat_interleave(repeat, 2).flatten(1)
        with autocast:
            loss = forward(pixel_values=pixels, bool_masked_pos=mask).loss
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    step.wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    return step


def _attention(model):
    """The fastest attention that transformers has for a model."""
    return "sdpa" if getattr(model, "_supports_sdpa", False) else "eager"

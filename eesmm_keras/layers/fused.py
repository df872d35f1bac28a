"""Attention in one kernel instead of twenty, for models on an NVIDIA GPU under JAX."""

import keras

from eesmm_keras.errors import UserError
from eesmm_keras.layers.window_attention import WindowAttention


def fuse_attention(model, interpret=False):
    """Let all attention in windows be `ops.fused_attention` in training. Results stay, up to rounding.

    Args:
        model: a method or a task. interpret: compute the kernels step by step, on any device.

    Returns:
        number of layers.

    Raises:
        UserError: another backend than JAX, or no layer that the kernel fits.
    """
    if keras.backend.backend() != "jax":
        raise UserError(
            "Setting fused_attention: its kernels are made for JAX. Set KERAS_BACKEND=jax, or leave it "
            "away."
        )
    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, WindowAttention) and layer.can_fuse()
    ]
    if not layers:
        raise UserError(
            "Setting fused_attention: this model has no attention that it fits, which is that of Swin "
            "(version 1) and Twins in windows of up to 11 tokens a side, with 16, 32, 64 or 128 "
            "channels per head and without attention_dropout. Leave it away."
        )
    for layer in layers:
        layer.fused = "interpreted" if interpret else "compiled"
    return len(layers)


def check_one_gpu():
    """Raise a UserError unless JAX computes on one NVIDIA GPU, for which the kernels are made."""
    import jax

    devices = jax.devices()
    if devices[0].platform != "gpu" or len(devices) > 1:
        raise UserError(
            f"Setting fused_attention needs one NVIDIA GPU, and JAX has {len(devices)} x "
            f"{devices[0].platform}: leave it away (or take --gpus 1)."
        )

"""Checks of a `SwinBackbone`'s own arguments. Each raises a ValueError that says what was expected."""

from eesmm_keras.checks import (
    MAX_DEPTH,
    MAX_MLP_RATIO,
    MAX_SIDE,
    MAX_WIDTH,
    MAX_WINDOW,
    block_parameters,
    check_choice,
    check_flag,
    check_heads,
    check_list,
    check_number,
    check_parameters,
    check_rate,
    check_whole,
)


def check_stages(embed_dim, depths, num_heads, patch_size, mlp_ratio):
    """Sizes of the stages; returns the side of a mask unit in pixels."""
    check_whole("patch_size", patch_size, 1, MAX_SIDE)
    if patch_size & (patch_size - 1):
        raise ValueError(f"patch_size must be a power of two, got {patch_size}.")
    depths, num_heads = check_list("depths", depths), check_list("num_heads", num_heads)
    if not 1 <= len(depths) <= 8:
        raise ValueError(f"depths must hold 1 to 8 numbers, one per stage, got {depths}.")
    if len(num_heads) != len(depths):
        raise ValueError(
            f"num_heads needs one number per stage: {len(depths)} stages in depths={depths}, got "
            f"num_heads={num_heads}."
        )
    check_whole("embed_dim", embed_dim, 1, MAX_WIDTH >> (len(depths) - 1))
    check_number("mlp_ratio", mlp_ratio, 1e-3, MAX_MLP_RATIO)
    parameters = 0
    for number, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
        check_whole("depths", depth, 1, MAX_DEPTH)
        check_heads("num_heads", heads, embed_dim * 2**number)
        parameters += depth * block_parameters(embed_dim * 2**number, mlp_ratio)
    check_parameters(parameters)
    return patch_size * 2 ** (len(depths) - 1)


def check_windows(window_size, stages):
    """One window for all stages, or one per stage; returns them as a tuple."""
    if isinstance(window_size, list | tuple):
        windows = check_list("window_size", window_size, stages)
    else:
        windows = (window_size,) * stages
    for window in windows:
        check_whole("window_size", window, 1, MAX_WINDOW)
    return windows


def check_blocks(shift, qkv_bias, positions, dropout, attention_dropout, drop_path):
    """What all blocks share."""
    check_flag("shift", shift)
    check_flag("qkv_bias", qkv_bias)
    check_choice("positions", positions, (None, "sincos", "learned"))
    check_rate("dropout", dropout)
    check_rate("attention_dropout", attention_dropout)
    check_rate("drop_path", drop_path)

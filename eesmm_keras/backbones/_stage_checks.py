"""Checks of what all encoders with stages are told. Each raises a ValueError that says what was expected."""

from eesmm_keras.checks import (
    MAX_DEPTH,
    MAX_SIDE,
    block_parameters,
    check_heads,
    check_list,
    check_parameters,
    check_whole,
)


def check_depths(depths, num_heads, patch_size):
    """Numbers of the stages; returns the side of a mask unit in pixels, if each halves the map."""
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
    return patch_size * 2 ** (len(depths) - 1)


def check_blocks_of(dims, depths, num_heads, mlp_ratios):
    """Blocks of the stages: lists of one number per stage, of which widths and ratios are checked."""
    parameters = 0
    for dim, depth, heads, ratio in zip(dims, depths, num_heads, mlp_ratios, strict=True):
        check_whole("depths", depth, 1, MAX_DEPTH)
        check_heads("num_heads", heads, dim)
        parameters += depth * block_parameters(dim, ratio)
    check_parameters(parameters)

"""Checks of arguments of encoders with stages. Each raises a ValueError that says what was expected."""

from eesmm_keras.checks import (
    MAX_DEPTH,
    MAX_MLP_RATIO,
    MAX_SIDE,
    MAX_WIDTH,
    MAX_WINDOW,
    block_parameters,
    check_heads,
    check_list,
    check_number,
    check_parameters,
    check_whole,
)


def check_depths(depths, patch_size):
    """Blocks of the stages; returns the side of a mask unit in pixels, if each halves the map."""
    check_whole("patch_size", patch_size, 1, MAX_SIDE)
    if patch_size & (patch_size - 1):
        raise ValueError(f"patch_size must be a power of two, got {patch_size}.")
    depths = check_list("depths", depths)
    if not 1 <= len(depths) <= 8:
        raise ValueError(f"depths must hold 1 to 8 numbers, one per stage, got {depths}.")
    return patch_size * 2 ** (len(depths) - 1)


def check_heads_of(depths, num_heads):
    """As many numbers of heads as there are stages."""
    num_heads = check_list("num_heads", num_heads)
    if len(num_heads) != len(depths):
        raise ValueError(
            f"num_heads needs one number per stage: {len(depths)} stages in depths={depths}, got "
            f"num_heads={num_heads}."
        )


def check_windows(window_size, stages, smallest=1):
    """One window for all stages, or one per stage; returns them as a tuple."""
    windows = (window_size,) * stages
    if isinstance(window_size, list | tuple):
        windows = check_list("window_size", window_size, stages)
    for window in windows:
        check_whole("window_size", window, smallest, MAX_WINDOW)
    return windows


def check_widths(dims, depths, mlp_ratio):
    """A width per stage, and an MLP ratio for all or one per stage; returns the ratios as a tuple."""
    for dim in check_list("dims", dims, len(depths)):
        check_whole("dims", dim, 1, MAX_WIDTH)
    ratios = (mlp_ratio,) * len(depths)
    if isinstance(mlp_ratio, list | tuple):
        ratios = check_list("mlp_ratio", mlp_ratio, len(depths))
    for ratio in ratios:
        check_number("mlp_ratio", ratio, 1e-3, MAX_MLP_RATIO)
    return ratios


def check_blocks_of(dims, depths, num_heads, mlp_ratios):
    """Blocks of the stages: lists of one number per stage, of which widths and ratios are checked."""
    parameters = 0
    for dim, depth, heads, ratio in zip(dims, depths, num_heads, mlp_ratios, strict=True):
        check_whole("depths", depth, 1, MAX_DEPTH)
        check_heads("num_heads", heads, dim)
        parameters += depth * block_parameters(dim, ratio)
    check_parameters(parameters)

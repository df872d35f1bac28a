"""Checks of a `TwinsBackbone`'s own arguments. Each raises a ValueError that says what was expected."""

from eesmm_keras.backbones._stage_checks import (
    check_blocks_of,
    check_depths,
    check_heads_of,
    check_widths,
    check_windows,
)
from eesmm_keras.checks import check_list, check_whole


def check_stages(dims, depths, num_heads, patch_size, mlp_ratio):
    """Sizes of the stages; returns the side of a mask unit in pixels, and an MLP ratio per stage."""
    stride = check_depths(depths, patch_size)
    check_heads_of(depths, num_heads)
    ratios = check_widths(dims, depths, mlp_ratio)
    check_blocks_of(dims, depths, num_heads, ratios)
    return stride, ratios


def check_attention(window_size, reductions, stages):
    """Windows, one for all stages or one per stage or none, and cells of whole mask units.

    Returns:
        A window per stage, each None where there are none.
    """
    windows = (None,) * stages
    if window_size is not None:
        windows = check_windows(window_size, stages, smallest=2)
    for number, reduction in enumerate(check_list("reductions", reductions, stages)):
        side = 1 << (stages - 1 - number)
        check_whole("reductions", reduction, 1, side)
        if side % reduction:
            raise ValueError(
                f"reductions: cells of stage {number} must be whole in a mask unit, {side} tokens "
                f"wide there: a power of two, got {reduction}."
            )
    return windows

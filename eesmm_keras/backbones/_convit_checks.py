"""Checks of a `ConViTBackbone`'s arguments. Each raises a ValueError that says what was expected."""

from eesmm_keras.backbones._stage_checks import check_blocks_of, check_depths, check_widths
from eesmm_keras.checks import MAX_WINDOW, check_whole

# MLPs of the public DMJD: wide in the convolutional stages.
_CONVOLUTIONAL, _TRANSFORMER = 8.0, 4.0


def check_sizes(dims, depths, num_heads, patch_size, mlp_ratio, kernel_size):
    """Sizes of the stages; returns the side of a mask unit in pixels, and an MLP ratio per stage."""
    stride = check_depths(depths, patch_size)
    if len(depths) < 2:
        raise ValueError(
            f"depths must hold a number for each convolutional stage and one for the ViT, got {depths}."
        )
    if mlp_ratio is None:
        mlp_ratio = (*(_CONVOLUTIONAL,) * (len(depths) - 1), _TRANSFORMER)
    ratios = check_widths(dims, depths, mlp_ratio)
    # Only the last stage has heads.
    check_blocks_of(dims, depths, (*(1,) * (len(depths) - 1), num_heads), ratios)
    check_whole("kernel_size", kernel_size, 1, MAX_WINDOW)
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd, got {kernel_size}.")
    return stride, ratios

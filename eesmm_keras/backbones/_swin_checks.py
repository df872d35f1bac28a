"""Checks of a `SwinBackbone`'s own arguments. Each raises a ValueError that says what was expected."""

from eesmm_keras.backbones._stage_checks import check_blocks_of, check_depths, check_heads_of
from eesmm_keras.checks import (
    MAX_MLP_RATIO,
    MAX_WIDTH,
    check_choice,
    check_flag,
    check_number,
    check_rate,
    check_whole,
)


def check_stages(embed_dim, depths, num_heads, patch_size, mlp_ratio):
    """Sizes of the stages; returns the side of a mask unit in pixels."""
    stride = check_depths(depths, patch_size)
    check_heads_of(depths, num_heads)
    check_whole("embed_dim", embed_dim, 1, MAX_WIDTH >> (len(depths) - 1))
    check_number("mlp_ratio", mlp_ratio, 1e-3, MAX_MLP_RATIO)
    dims = [embed_dim << number for number in range(len(depths))]
    check_blocks_of(dims, depths, num_heads, [mlp_ratio] * len(depths))
    return stride


def check_blocks(shift, qkv_bias, positions, dropout, attention_dropout, drop_path):
    """What all blocks share."""
    check_flag("shift", shift)
    check_flag("qkv_bias", qkv_bias)
    check_choice("positions", positions, (None, "sincos", "learned"))
    check_rate("dropout", dropout)
    check_rate("attention_dropout", attention_dropout)
    check_rate("drop_path", drop_path)

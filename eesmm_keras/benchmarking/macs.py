"""Multiply-accumulates of a forward pass: what a perfect implementation has to compute.

Matrix products only. A hidden token costs nothing in a visible-only encoder, and neither does padding
of groups: attention is counted over the pairs that may see each other. So the ratio of two methods'
counts bounds the speed that hiding units can give. (A training step is three forward passes' worth.)
"""

import numpy as np

from eesmm_keras.methods._visible import VisibleOnlyModel
from eesmm_keras.ops import masking
from eesmm_keras.ops.grouping import find_pieces

# Masks over which the attention of a visible-only encoder is averaged.
_MASKS = 16


def swin_macs(backbone, visible_units=None):
    """MACs of a `SwinBackbone` on one image.

    Args:
        visible_units: int array of the mask units that are encoded; None encodes all of them.
    """
    units = np.arange(backbone.grid[0] * backbone.grid[1])
    units = units if visible_units is None else np.asarray(visible_units)
    config = backbone.get_config()
    pixels = config["patch_size"] ** 2 * backbone.image_shape[-1]
    first = backbone.geometry[0]
    total = len(units) * first.side**2 * pixels * first.dim
    for number, stage in enumerate(backbone.geometry):
        tokens, dim = len(units) * stage.side**2, stage.dim
        for block in range(stage.depth):
            _, window, shift = stage.partitions[block % 2 % len(stage.partitions)]
            pairs = find_pieces(units, backbone.grid[1], stage, window, shift).size ** 2
            mlp = 2 * int(dim * config["mlp_ratio"])
            total += tokens * dim * (4 * dim + mlp) + 2 * dim * int(pairs.sum())
        if number < len(backbone.geometry) - 1:
            total += tokens // 4 * (4 * dim) * (2 * dim)
    return total


def decoder_macs(decoder, num_features, visible, scored):
    """MACs of a `TransformerDecoder` on one sample: `visible` tokens in, `scored` units predicted."""
    tokens, dim = decoder.grid[0] * decoder.grid[1], decoder.dim
    block = tokens * dim * dim * (4 + 2 * decoder.mlp_ratio) + 2 * tokens**2 * dim
    total = visible * num_features * dim + decoder.depth * block
    return int(total) + scored * dim * decoder.output_dim


def method_macs(model):
    """Forward MACs of a pre-training method for one image."""
    backbone = model.backbone
    if not isinstance(model, VisibleOnlyModel):
        head = model.num_hidden * backbone.num_features * model.head.units
        return swin_macs(backbone) + head
    rng, bank = np.random.default_rng(0), model.mask_bank
    counts = []
    for _ in range(_MASKS):
        hidden = masking.sample_masks(rng, bank.num_units, model.mask_ratio, model.num_masks)
        order, visible = masking.unit_order(hidden)
        counts.append(swin_macs(backbone, order[:visible]))
    scored = bank.num_units - (visible if model.num_masks == 1 else 0)
    decoder = decoder_macs(model.decoder, backbone.num_features, visible, scored)
    return (np.mean(counts) + decoder) / model.images_per_sample

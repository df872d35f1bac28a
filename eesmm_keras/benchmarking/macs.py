"""Multiply-accumulates of a forward pass: what a perfect implementation has to compute.

Matrix products only. A hidden token costs nothing in a visible-only encoder, and neither does padding
of groups: attention is counted over the pairs that may see each other. So the ratio of two methods'
counts bounds the speed that hiding units can give. (A training step is three forward passes' worth.)
"""

import itertools

import numpy as np

from eesmm_keras.methods._visible import VisibleOnlyModel
from eesmm_keras.ops import masking
from eesmm_keras.ops.grouping import find_pieces

# Masks over which the attention of a visible-only encoder is averaged.
_MASKS = 16


def backbone_macs(backbone, visible_units=None):
    """MACs of an encoder on one image.

    Args:
        visible_units: int array of the mask units that are encoded; None encodes all of them.
    """
    if hasattr(backbone, "geometry"):
        return _swin_macs(backbone, visible_units)
    config = backbone.get_config()
    units = backbone.grid[0] * backbone.grid[1] if visible_units is None else len(visible_units)
    tokens, dim = units + backbone.num_prefix_tokens, backbone.num_features
    block = tokens * dim * dim * (4 + 2 * config["mlp_ratio"]) + 2 * tokens**2 * dim
    pixels = backbone.stride**2 * backbone.image_shape[-1]
    return int(units * pixels * dim + backbone.num_blocks * block)


def _swin_macs(backbone, visible_units):
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
    """Forward MACs of a pre-training method for one image and step."""
    if isinstance(model, VisibleOnlyModel):
        return _visible_only_macs(model)
    backbone, features = model.backbone, model.backbone.num_features
    total = backbone_macs(backbone)
    if hasattr(model, "head"):
        return total + model.num_hidden * features * model.head.units
    # MixMIM decodes two sequences; each is scored where the other was visible.
    visible = model.num_units - model.num_hidden
    total += decoder_macs(model.decoder, features, visible, model.num_hidden)
    return total + decoder_macs(model.decoder, features, model.num_hidden, visible)


def _visible_only_macs(model):
    backbone, bank, features = model.backbone, model.mask_bank, model.backbone.num_features
    rng, counts = np.random.default_rng(0), []
    for _ in range(_MASKS):
        for hidden in model.sampler(rng):
            order, visible = masking.unit_order(hidden)
            counts.append(backbone_macs(backbone, order[:visible]))
    scored = bank.num_units - (visible if model.sampler.num_masks == 1 else 0)
    total = np.mean(counts) + decoder_macs(model.decoder, features, visible, scored)
    if getattr(model, "projector", None):
        widths = [features, *(layer.units for layer in model.projector.dense)]
        total += visible * sum(a * b for a, b in itertools.pairwise(widths))
    return total * model.num_views / model.images_per_sample

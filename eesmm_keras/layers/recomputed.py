"""Gradient checkpointing (Chen et al., 2016): blocks that are computed again on the way back."""

import keras

from eesmm_keras.errors import UserError


class Recomputed:
    """A block that may keep nothing but its input for the backward pass: `remat`, False at first.

    Nothing in it may be drawn at random, since it would be drawn twice.
    """

    remat = False

    def recomputed(self, function, x, training):
        """`function(x)`, in training with `remat` run once more where its gradient is asked for."""
        return keras.remat(function)(x) if self.remat and training else function(x)


def recompute_blocks(model):
    """Let all blocks of a model be `Recomputed`, its decoder's too. Results stay, up to rounding.

    Returns:
        number of blocks.

    Raises:
        UserError: there are none, or something in them is dropped at random.
    """
    layers = list(model._flatten_layers(include_self=False))
    blocks = [layer for layer in layers if isinstance(layer, Recomputed)]
    if not blocks:
        raise UserError("Setting remat: this model has no blocks that can be computed again.")
    for block in blocks:
        if any(getattr(layer, "rate", 0) for layer in block._flatten_layers()):
            raise UserError(
                "Setting remat: what is dropped at random cannot be computed again. Set the encoder's "
                "drop_path, dropout and attention_dropout to 0, or leave remat away."
            )
        block.remat = True
    return len(blocks)

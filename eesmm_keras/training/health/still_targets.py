"""There is nothing to rebuild: the images are of one colour, or all the same."""

import numpy as np

# Deviation of a patch's pixels, of 255, below which it shows one colour; and the share of such patches.
_STILL, _SHARE = 0.5, 0.5


def at_start(model, images):
    side, (rows, columns) = model.backbone.stride, model.backbone.grid
    units = np.asarray(images, "float32").reshape(len(images), rows, side, columns, side, -1)
    still = float((units.std(axis=(2, 4)).max(axis=-1) < _STILL).mean())
    if still >= _SHARE:
        return (
            f"{still:.0%} of the patches of {side} pixels show one colour, in {len(images)} images "
            "that were looked at: their targets have no variance, and nothing is learnt from them. "
            "Look at the pictures of the run: empty borders, or images that were decoded wrongly?"
        )
    if len(images) > 1 and (images == images[:1]).all():
        return (
            f"{len(images)} images that were looked at are all the same. If the others are too, there "
            "is nothing to learn."
        )
    return None

"""Which images a training batch is made of: a pure function of seed and step.

Position p = step * batch_size + row belongs to epoch p // n of n images, whose order is a permutation
drawn from `(seed, epoch)`. Batches run on across epochs' ends.
"""

from functools import lru_cache

import numpy as np


def batch_members(count, batch_size, step, seed=0, group=1):
    """Which images a training batch is made of, in order.

    Args:
        count: int, images of the source.
        batch_size, seed, group: as in `pipeline.pretrain_dataset`. step: int, the batch's number.

    Returns:
        list of int. An image that cannot be decoded is replaced by the next one that can.
    """
    positions = range(step * batch_size, (step + 1) * batch_size)
    return [image_at(position, count, seed, group) for position in positions]


def image_at(position, count, seed, group):
    """Index of the image at a position of the endless sequence of epochs."""
    epoch, place = divmod(position, count - count % group)
    return int(_epoch_order(count, seed, epoch)[place])


@lru_cache(maxsize=4)  # the workers run ahead of training and meet two epochs at a time
def _epoch_order(count, seed, epoch):
    return np.random.default_rng((seed, epoch)).permutation(count)

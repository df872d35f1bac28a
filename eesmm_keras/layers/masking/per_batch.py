import keras
import numpy as np
from keras import ops

from eesmm_keras.layers.masking.mask import Mask
from eesmm_keras.layers.masking.masking import Masking
from eesmm_keras.ops import masking


class BatchMask(Masking):
    """One random mask for the whole batch, drawn inside the step, for encoders that see all places.

    Args:
        num_units: N, mask units of an image.
        mask_ratio: share of the units that is hidden. rounding: "up" or "down", to whole units.
        seeds: `keras.random.SeedGenerator`.
    """

    def __init__(self, num_units, mask_ratio, seeds, rounding="up"):
        self.num_units, self.seeds = num_units, seeds
        self.num_hidden = masking.num_hidden(num_units, mask_ratio, rounding)

    def draw(self, batch):
        noise = keras.random.uniform((self.num_units,), seed=self.seeds)
        return [_mask(ops.argsort(noise), self.num_units - self.num_hidden)]

    def given(self, hidden, batch):
        [hidden] = self.rows(hidden)
        if len(hidden) != 1:
            raise ValueError(f"hidden must be one mask for the whole batch, got {len(hidden)}.")
        orders, visible = masking.unit_orders(hidden)
        return [_mask(ops.convert_to_tensor(orders[0]), visible)]

    def sample(self, seed):
        rng = np.random.default_rng(seed)
        return masking.random_masks(rng, 1, self.num_units, self.num_hidden)


def _mask(order, visible):
    hidden = ops.cast(ops.argsort(order) >= visible, "float32")[None]
    return Mask(order[:visible], order[visible:], hidden)

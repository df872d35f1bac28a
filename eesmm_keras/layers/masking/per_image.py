import keras
import numpy as np
from keras import ops

from eesmm_keras.device_waits import constant
from eesmm_keras.layers.masking.mask import Mask
from eesmm_keras.layers.masking.masking import Masking
from eesmm_keras.ops import masking
from eesmm_keras.parallel import draw_rows


class PerImageMasks(Masking):
    """A random mask for every image, drawn inside the step.

    View k of several hides the next units of one random order, round and round: the hidden sets of the
    views are disjoint as far as the ratio allows (DMJD).

    Args:
        grid: `(rows, cols)` of mask units.
        mask_ratio: share of the units that is hidden, rounded up to whole squares.
        seeds: `keras.random.SeedGenerator`.
        block_size: units are hidden in squares of this side.
        num_views: masked views of each image.

    The plan of its masks is `{"units": visible}`, what encoders with global attention take.
    """

    def __init__(self, grid, mask_ratio, seeds, block_size=1, num_views=1):
        self.sampler = masking.MaskSampler(
            grid=tuple(grid), mask_ratio=mask_ratio, num_views=num_views, block_size=block_size
        )
        self.num_units, self.num_views, self.seeds = grid[0] * grid[1], num_views, seeds
        self.blocks = masking.block_members(grid, block_size)
        self.hidden_blocks = masking.num_hidden(len(self.blocks), mask_ratio)
        self.num_hidden = self.hidden_blocks * block_size**2

    def draw(self, batch):
        def draw(rows):
            return keras.random.uniform((rows, len(self.blocks)), seed=self.seeds)

        order = ops.argsort(draw_rows(draw, batch), axis=1)
        count = self.hidden_blocks
        views = [ops.roll(order, -k * count, axis=1) for k in range(self.num_views)]
        return [
            _mask(self._units(view[:, count:]), self._units(view[:, :count]), self.num_units)
            for view in views
        ]

    def _units(self, blocks):
        """Units of each image's blocks: `(B, K)` -> `(B, K * block_size**2)`."""
        units = ops.take(constant(self.blocks), blocks, axis=0)
        return ops.reshape(units, (-1, blocks.shape[1] * self.blocks.shape[1]))

    def given(self, hidden, batch):
        masks = []
        for view in self.rows(hidden):
            orders, visible = masking.unit_orders(view)
            orders = ops.broadcast_to(ops.convert_to_tensor(orders), (batch, self.num_units))
            masks.append(_mask(orders[:, :visible], orders[:, visible:], self.num_units))
        return masks

    def sample(self, seed):
        return self.sampler(np.random.default_rng(seed)).reshape(-1, self.num_units)


def _mask(visible, scored, count):
    # Not `one_hot`, for which PyTorch looks at the numbers.
    hidden = ops.any(ops.equal(scored[:, :, None], ops.arange(count)), axis=1)
    hidden = ops.cast(hidden, "float32")
    return Mask(visible, scored, hidden, {"units": visible})

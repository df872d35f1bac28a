import math

import keras
import numpy as np
from keras import ops

from eesmm_keras.checks import MAX_MASKS, check_whole
from eesmm_keras.device_waits import SeedGenerator
from eesmm_keras.layers.masking.mask import Mask
from eesmm_keras.layers.masking.masking import Masking
from eesmm_keras.ops.masking import MaskSampler, unit_order

# Masks from which the group sizes are chosen.
_EXAMPLES = 128


class MaskBank(Masking, keras.layers.Layer):
    """Random masks with their attention groups, planned on the host, picked inside the graph.

    The bank holds `size` masks as integer weights of fixed shape; a step takes one by a random
    index, so nothing is computed on the host and nothing recompiles while the mask changes. It is a
    function of its arguments and of `epoch`, so its weights are never written to checkpoints.

    Args:
        make_planner: function from examples (a list of int arrays of visible units, all of one
            length) to the encoder's planner, for example `SwinBackbone.planner`.
        sampler: draws the masks of a step, see `ops.masking.MaskSampler`.
        size: number of draws that the bank holds.
        seed: int; masks and picks follow from it.
    """

    def __init__(self, make_planner, sampler, size=256, seed=0, **kwargs):
        super().__init__(**kwargs)
        check_whole("mask_bank_size", size, 1, MAX_MASKS)
        self._make_planner, self.sampler = make_planner, sampler
        self.size, self.seed = size, seed
        self.num_units, self.num_views = sampler.num_units, sampler.num_views
        self.num_visible = sampler.num_visible
        rng = np.random.default_rng((seed, 0))
        draws = [sampler(rng) for _ in range(min(size, _EXAMPLES))]
        self._planner = make_planner(
            [unit_order(hidden)[0][: self.num_visible] for views in draws for hidden in views]
        )
        self.seed_generator = SeedGenerator(seed)
        self.build()

    @classmethod
    def of(cls, backbone, mask_ratio, size, seed, **sampling):
        """The bank for an encoder; `sampling`: other arguments of `MaskSampler`."""
        sampler = MaskSampler(grid=tuple(backbone.grid), mask_ratio=mask_ratio, **sampling)
        return cls(backbone.planner, sampler, size=size, seed=seed, name="mask_bank")

    @property
    def derived_variables(self):
        return (self.table,)

    def build(self, input_shape=None):
        entries, table = self._make(epoch=0)
        # One row holds all arrays of a mask: a step picks it with a single lookup.
        self._template = entries[0]
        self._shapes = [array.shape for array in keras.tree.flatten(entries[0])]
        self.table = self.add_weight(
            shape=table.shape, dtype="int32", trainable=False, name="table",
            initializer=lambda shape, dtype: ops.convert_to_tensor(table, dtype),
        )  # fmt: skip

    def _make(self, epoch):
        """All masks of an epoch: their entries, and the same as an int32 table `(size, row)`."""
        rng = np.random.default_rng((self.seed, 1, epoch))
        entries = []
        while len(entries) < self.size:
            views = [self._plan(hidden, self._planner) for hidden in self.sampler(rng)]
            # The few masks that need more groups than planned are drawn again.
            if None not in views:
                entries.append(views)
        rows = [
            np.concatenate([array.reshape(-1) for array in keras.tree.flatten(entry)])
            for entry in entries
        ]
        return entries, np.stack(rows)

    def refresh(self, epoch):
        """Fill the bank with the masks of another epoch."""
        self.table.assign(self._make(epoch)[1])

    def _plan(self, hidden, planner=None):
        """One view's entry for a mask of the caller's choice, planned on the host.

        Args:
            hidden: `(num_masks, N)`, 1 = hidden, with any number of visible units.
            planner: None plans group sizes for this mask alone.

        Returns:
            nested dict of int32 arrays, or None if `planner` has no room for the mask.

        Raises:
            ValueError: wrong shape, or nothing visible, or nothing hidden.
        """
        hidden = np.asarray(hidden)
        expected = (self.sampler.num_masks, self.num_units)
        if hidden.shape != expected:
            raise ValueError(
                f"hidden must be {expected}: one row per mask, one column per mask unit, 1 = hidden. "
                f"Got shape {hidden.shape}."
            )
        order, visible = unit_order(hidden)
        if visible == 0 or not hidden.any():
            raise ValueError("hidden must leave at least one unit visible and hide at least one.")
        planner = planner or self._make_planner([order[:visible]])
        plan = planner.plan(order[:visible])
        if plan is None:
            return None
        entry = {"hidden": hidden.astype("int32"), "order": order.astype("int32"), "plan": plan}
        return _sorted(entry)

    def draw(self, batch):
        pick = keras.random.randint((), 0, self.size, seed=self.seed_generator)
        row, start, arrays = ops.take(self.table, pick, axis=0), 0, []
        for shape in self._shapes:
            stop = start + math.prod(shape)
            arrays.append(ops.reshape(row[start:stop], shape))
            start = stop
        views = keras.tree.pack_sequence_as(self._template, arrays)
        return [self._mask(view, self.num_visible) for view in views]

    def given(self, hidden, batch):
        views = self.rows(hidden)
        return [self._mask(self._plan(view), unit_order(view)[1]) for view in views]

    def sample(self, seed):
        return self.sampler(np.random.default_rng(seed)).reshape(-1, self.num_units)

    def _mask(self, entry, visible):
        order, together = entry["order"], self.sampler.num_masks == 1
        return Mask(
            visible=order[:visible],
            # Under independent masks an encoded unit is still hidden in some source.
            scored=order[visible:] if together else order,
            hidden=ops.cast(entry["hidden"], "float32"),
            plan=entry["plan"],
        )

    def save_own_variables(self, store):
        """Nothing: the masks follow from the configuration."""

    def load_own_variables(self, store):
        """Nothing: the masks follow from the configuration."""


def _sorted(plan):
    """A nested dict with its keys in order: on PyTorch they are taken apart in theirs, and put together
    again in order."""
    if not isinstance(plan, dict):
        return plan
    return {key: _sorted(plan[key]) for key in sorted(plan)}

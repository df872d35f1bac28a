"""Ways in which the tokens of a stage come: as a whole map, or the visible ones alone.

Each tells what layers need to know of it:
`to_map(tokens) -> (B, H, W, C)`, for a convolution, with zeros where tokens are hidden; and back,
`from_map(map) -> tokens`; and, where there is attention,
`windows`, the partition for attention in windows (`ops.partitions`), or None without windows;
`hidden_keys`, float32 `(1, 1, 1, K)` to be added to the scores of K keys, or None.
"""

import numpy as np
from keras import ops

from eesmm_keras.ops.grouping import GroupPlanner, token_coordinates
from eesmm_keras.ops.partitions import MASKED, GroupPartition, WindowPartition
from eesmm_keras.ops.patches import (
    gather_cells,
    images_to_units,
    take_units,
    units_to_images,
    units_to_nested_patches,
)


class WholeMap:
    """All tokens of a map `(B, H, W, C)`.

    Args:
        height, width: of the map, in tokens.
        window: side of a window of it; None: no attention in windows.
        reduction: side of the cell of tokens that becomes one key of global attention.
        hidden: optional bool `(height, width)`, tokens that contribute nothing, whole cells of them.
            This dense path is what the sparse path (`VisibleTokens`) must equal on the tokens left.
    """

    def __init__(self, height, width, window=None, reduction=1, hidden=None):
        self.windows = self.hidden_keys = self._visible = None
        if window:
            self.windows = WindowPartition(height, width, window, hidden=hidden)
        if hidden is not None:
            keys = hidden[::reduction, ::reduction].reshape(1, 1, 1, -1)
            self.hidden_keys = np.where(keys, MASKED, 0.0).astype("float32")
            self._visible = 1.0 - hidden[None, :, :, None].astype("float32")

    def to_map(self, x):
        return x if self._visible is None else x * ops.cast(self._visible, x.dtype)

    def from_map(self, x):
        return x


class VisibleTokens:
    """The visible tokens of a map, `(B, T, C)`, in nested order in each mask unit.

    Args:
        plan: one stage's entry of `TokenMapPlanner.plan`.
        height, width, window: see `WholeMap`.
    """

    hidden_keys = None

    def __init__(self, plan, height, width, window=None):
        self.height, self.width = height, width
        self.windows = GroupPartition(plan["plain"], window) if window else None
        self._token, self._place = plan["token"], plan["place"]

    def to_map(self, x):
        x = ops.pad(x, ((0, 0), (0, 1), (0, 0)))
        return ops.reshape(
            ops.take(x, self._token, axis=1), (-1, self.height, self.width, x.shape[-1])
        )

    def from_map(self, x):
        x = ops.reshape(x, (-1, self.height * self.width, x.shape[-1]))
        return ops.take(x, self._place, axis=1)


class UnitTokens:
    """The tokens of some mask units, `(B, T, C)`, in nested order in each unit.

    Args:
        units: int tensor, numbers of the visible units, `(V,)`, or `(B, V)` where each image has its
            own.
        grid: `(rows, cols)` of the mask units.
        side: tokens along one side of a mask unit.
    """

    def __init__(self, units, grid, side):
        self.units, self.grid, self.side = units, grid, side
        # Which visible unit stands at each place; one past the last where it is hidden.
        visible, count = units.shape[-1], grid[0] * grid[1]
        number = ops.arange(visible, dtype="int32") - visible
        place = ops.cast(
            ops.expand_dims(units, -1) == ops.arange(count, dtype=units.dtype), "int32"
        )
        self._unit = ops.sum(place * number[:, None], axis=-2) + visible

    def to_map(self, x):
        x = gather_cells(x, self.side)
        x = take_units(ops.pad(x, ((0, 0), (0, 1), (0, 0))), self._unit)
        return units_to_images(x, self.grid, self.side)

    def from_map(self, x):
        x = take_units(images_to_units(x, self.side), self.units)
        return units_to_nested_patches(x, self.side, patch_size=1)


class TokenMapPlanner:
    """Plans for `VisibleTokens` of every stage, with shapes that are the same for all masks.

    Args:
        stages: `grouping.StageGeometry` of each encoder stage.
        grid: `(rows, cols)` of the mask units.
        examples: see `grouping.GroupPlanner`.
        windows: whether there is attention in windows.
    """

    def __init__(self, stages, grid, examples, windows=True):
        self.stages, self.grid = tuple(stages), tuple(grid)
        self._groups = GroupPlanner(stages, grid, examples) if windows else None

    def plan(self, units):
        """`{"stage_0": {"plain": groups, "place": (T,), "token": (H * W,)}, ...}`, int32.

        `place`: where each token stands in the map; `token`: which token stands at each place, T, one
        past the last, where it is hidden. None if the mask does not fit the planned groups.
        """
        plan = self._groups.plan(units) if self._groups else {}
        if plan is None:
            return None
        for number, stage in enumerate(self.stages):
            y, x = token_coordinates(units, self.grid[1], stage.side)
            place = y * stage.width + x
            token = np.full(stage.height * stage.width, place.size)
            token[place] = np.arange(place.size)
            entry = plan.setdefault(f"stage_{number}", {})
            entry.update(place=place.astype("int32"), token=token.astype("int32"))
        return plan

"""Random masks over mask units, drawn on the host. Sign everywhere: 1 = hidden, 0 = visible."""

from dataclasses import dataclass

import numpy as np

from eesmm_keras.checks import MAX_VIEWS, check_number, check_whole


def num_hidden(num_units, mask_ratio, rounding="up"):
    """Number of hidden units: `mask_ratio * num_units` rounded "up" or "down".

    Up is what the public code of SimMIM, MAE, GreenMIM and DMJD does, down that of MixMIM.

    Raises:
        ValueError: if nothing would be hidden or nothing would stay visible.
    """
    check_number("mask_ratio", mask_ratio, 0, 1)
    # 1e-9: 0.6 * 5 may be a hair off 3.
    wanted = num_units * mask_ratio
    shift = {"up": 1 - 1e-9, "down": 1e-9}[rounding]
    hidden = int(np.floor(wanted + shift))
    if not 0 < hidden < num_units:
        raise ValueError(
            f"mask_ratio={mask_ratio} hides {hidden} of {num_units} mask units. At least one must "
            "be hidden and one visible: choose another ratio, or larger images."
        )
    return hidden


def random_masks(rng, count, num_units, hidden):
    """`count` independent masks `(count, num_units)` int8, each with `hidden` ones."""
    order = np.argsort(rng.random((count, num_units)), axis=1)
    return (order < hidden).astype("int8")


def common_union_size(num_units, hidden, count):
    """Most likely number of units that at least one of `count` independent masks leaves visible."""
    if count == 1:
        return num_units - hidden
    # Distribution of the units hidden in all masks so far, one mask at a time (hypergeometric).
    from math import comb

    probability = {hidden: 1.0}
    for _ in range(count - 1):
        after = {}
        for together, weight in probability.items():
            for stay in range(max(0, together + hidden - num_units), min(together, hidden) + 1):
                chance = comb(together, stay) * comb(num_units - together, hidden - stay)
                chance /= comb(num_units, hidden)
                after[stay] = after.get(stay, 0.0) + weight * chance
        probability = after
    # A union of all units would leave nothing hidden from the encoder; that is allowed.
    return num_units - max(probability, key=lambda size: (probability[size], size))


def sample_masks(rng, num_units, mask_ratio, count=1):
    """One mask for each image of a mix: `(count, num_units)` int8.

    With `count > 1` the masks are independent draws under the condition that the number of units
    visible in at least one of them is the most likely one: the encoder's input keeps one shape.
    """
    hidden = num_hidden(num_units, mask_ratio)
    union = common_union_size(num_units, hidden, count)
    while True:
        masks = random_masks(rng, count, num_units, hidden)
        if int((masks == 0).any(axis=0).sum()) == union:
            return masks


def disjoint_masks(rng, num_units, hidden, views, predicted=None):
    """Masks of several views whose hidden sets are disjoint as far as the ratio allows (DMJD).

    Every view hides the units first that the views before it hid least often: after all views, no
    unit was hidden more than once oftener than another, and the number of units hidden in any view
    is `min(predicted, views * hidden)`.

    Args:
        hidden: units hidden in each view.
        predicted: units that may be hidden at all, `hidden` at least; None: all `num_units`.

    Returns:
        int8 `(views, num_units)`, 1 = hidden.
    """
    allowed = rng.permutation(num_units)[: predicted or num_units]
    times = np.full(num_units, views + 1)
    times[allowed] = 0
    masks = np.zeros((views, num_units), "int8")
    for mask in masks:
        order = rng.permutation(num_units)
        mask[order[np.argsort(times[order], kind="stable")[:hidden]]] = 1
        times += mask
    return masks


@dataclass(frozen=True)
class MaskSampler:
    """Draws the masks of one training step.

    Attributes:
        grid: `(rows, cols)` of mask units.
        mask_ratio: share of the units hidden in each mask, rounded up to whole units.
        num_masks: independent masks of a view (EESMM: one per image of a mix).
        num_views: views of each image, with disjoint hidden sets (DMJD).
        prediction_ratio: share of the units that all views together may hide; the prediction rate
            is this, or `num_views * mask_ratio` if that is less.
        block_size: units are hidden in squares of this side.

    Raises:
        ValueError: numbers that don't fit together.
    """

    grid: tuple
    mask_ratio: float
    num_masks: int = 1
    num_views: int = 1
    prediction_ratio: float = 1.0
    block_size: int = 1

    def __post_init__(self):
        rows, cols = self.grid
        check_whole("block_size", self.block_size, 1, max(rows, cols))
        check_whole("num_views", self.num_views, 1, MAX_VIEWS)
        check_number("prediction_ratio", self.prediction_ratio)
        if rows % self.block_size or cols % self.block_size:
            raise ValueError(
                f"block_size must divide the {rows}x{cols} mask units, got {self.block_size}."
            )
        num_hidden(self._blocks, self.mask_ratio)
        if not self.mask_ratio <= self.prediction_ratio <= 1:
            raise ValueError(
                f"prediction_ratio must lie between mask_ratio={self.mask_ratio} and 1, got "
                f"{self.prediction_ratio}."
            )
        if self.num_masks > 1 and (self.num_views > 1 or self.block_size > 1):
            raise ValueError(
                "Independent masks for the images of a mix go with one view and without blocks: "
                'take mask_sharing="shared", or num_views=1 and block_size=1.'
            )

    @property
    def num_units(self):
        return self.grid[0] * self.grid[1]

    @property
    def _blocks(self):
        return self.num_units // self.block_size**2

    @property
    def _hidden(self):
        return num_hidden(self._blocks, self.mask_ratio)

    @property
    def _predicted(self):
        return max(self._hidden, round(self.prediction_ratio * self._blocks))

    @property
    def num_visible(self):
        """Units that the encoder sees in each view."""
        return common_union_size(self._blocks, self._hidden, self.num_masks) * self.block_size**2

    @property
    def prediction_rate(self):
        """Share of an image's units that are predicted in a step."""
        return min(self._predicted, self.num_views * self._hidden) / self._blocks

    def __call__(self, rng):
        """`(num_views, num_masks, N)` int8, 1 = hidden."""
        if self.num_masks > 1:
            return sample_masks(rng, self.num_units, self.mask_ratio, self.num_masks)[None]
        masks = disjoint_masks(rng, self._blocks, self._hidden, self.num_views, self._predicted)
        side = self.block_size
        rows, cols = self.grid[0] // side, self.grid[1] // side
        masks = masks.reshape(-1, rows, cols).repeat(side, axis=1).repeat(side, axis=2)
        return masks.reshape(self.num_views, 1, self.num_units)


def default_block_size(grid, stride, pixels=32):
    """Side in units of squares of 32 pixels, or 1 where these do not divide the grid."""
    side = max(1, pixels // stride)
    return side if all(length % side == 0 and length > side for length in grid) else 1


def block_members(grid, side):
    """Units of each square of `side x side` units: int32 `(number of squares, side**2)`."""
    rows, cols = grid
    units = np.arange(rows * cols).reshape(rows // side, side, cols // side, side)
    return units.transpose(0, 2, 1, 3).reshape(-1, side * side).astype("int32")


def unit_orders(hidden):
    """`unit_order` of one mask a sample.

    Args:
        hidden: `(B or 1, N)`, each row with the same number of ones.

    Returns:
        `(order (B or 1, N) int32, number of visible units)`.

    Raises:
        ValueError: rows that hide different numbers of units, none or all.
    """
    hidden = np.asarray(hidden).astype(bool)
    counts = np.unique(hidden.sum(axis=1))
    if len(counts) > 1 or not 0 < counts[0] < hidden.shape[1]:
        raise ValueError(
            "hidden must hide the same number of units in every image, at least one and not all; "
            f"got {counts.tolist()} of {hidden.shape[1]}."
        )
    order = np.argsort(hidden, axis=1, kind="stable").astype("int32")
    return order, hidden.shape[1] - int(counts[0])


def unit_order(hidden):
    """Permutation of the units with the visible ones first, each part in ascending order.

    Args:
        hidden: `(count, N)`; a unit is visible if it is visible in any of the `count` masks.

    Returns:
        `(order (N,), number of visible units)`.
    """
    hidden_in_all = np.asarray(hidden).astype(bool).all(axis=0)
    order = np.argsort(hidden_in_all, kind="stable")
    return order, int((~hidden_in_all).sum())

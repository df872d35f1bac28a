"""Visible tokens in groups of equal size, planned on the host (NumPy only).

GreenMIM (Huang et al., 2022, section 3.2) packs the uneven windows that a mask leaves behind into
groups of equal size, and masks attention inside a group to each token's own window. The plan of a
mask is a handful of index arrays; with a fixed number of groups their shapes do not depend on the
mask, so a compiled step never recompiles.
"""

from dataclasses import dataclass

import numpy as np

from eesmm_keras.ops.patches import nested_order
from eesmm_keras.ops.windows import effective_window, window_segments


@dataclass(frozen=True)
class StageGeometry:
    """What the plan needs to know of one encoder stage.

    Attributes:
        height, width: of the stage's map, in tokens.
        side: tokens along one side of a mask unit.
        window: nominal window size. `dim`: channels, to weigh projections against attention.
        depth: number of blocks; the second and every other block uses shifted windows.
        shift: whether they do.
        fits: whether a map that is smaller than a window is one window, as in Swin. If not, it is
            padded to one, as in Twins.
    """

    height: int
    width: int
    side: int
    window: int
    dim: int
    depth: int
    shift: bool = True
    fits: bool = True

    @property
    def partitions(self):
        """`((name, window, shift), ...)` of the partitions that the stage's blocks use."""
        if not self.fits:
            return (("plain", self.window, 0),)
        window, _ = effective_window(self.height, self.width, self.window, 0)
        shift = self.window // 2 if self.shift else 0
        shift = effective_window(self.height, self.width, self.window, shift)[1]
        plain, shifted = ("plain", window, 0), ("shifted", window, shift)
        return (plain, shifted) if shift and self.depth > 1 else (plain,)


def stage_geometries(image_shape, patch_size, embed_dim, depths, windows, shift):
    """`StageGeometry` of each stage of a Swin encoder: every one has half the map, twice the width.

    Args:
        image_shape: `(height, width, channels)` in pixels. patch_size: in pixels.
        embed_dim: width of the first stage. depths, windows: a number per stage.
        shift: whether every second block uses shifted windows.

    Returns:
        tuple of them.
    """
    return tuple(
        StageGeometry(
            height=image_shape[0] // (patch_size << number),
            width=image_shape[1] // (patch_size << number),
            side=1 << (len(depths) - 1 - number),
            window=windows[number],
            dim=embed_dim << number,
            depth=depth,
            shift=shift,
        )
        for number, depth in enumerate(depths)
    )


def token_coordinates(units, grid_cols, side):
    """Rows and columns `(T,)` of the tokens of some mask units, in nested order in each unit."""
    rows, cols = nested_order(side)
    units = np.asarray(units)
    y = (units // grid_cols * side)[:, None] + rows
    x = (units % grid_cols * side)[:, None] + cols
    return y.reshape(-1), x.reshape(-1)


@dataclass(frozen=True)
class Pieces:
    """The segments of a map that hold visible tokens: what has to stay together in one group.

    `token` has one row an attended place: its token, or T for the map's own padding;
    `start[i]:start[i] + size[i]` are the rows of piece i.
    """

    token: np.ndarray
    position: np.ndarray
    segment: np.ndarray
    start: np.ndarray
    size: np.ndarray
    num_tokens: int


def find_pieces(units, grid_cols, stage, window, shift):
    """`Pieces` of the visible `units` in one stage's (shifted) windows."""
    y, x = token_coordinates(units, grid_cols, stage.side)
    _, position, segment = window_segments(stage.height, stage.width, window, shift)
    token_of = np.full(segment.shape, -1)
    token_of[y, x] = np.arange(y.size)
    # The zeros beside the map are attended to by the dense network, so they come along.
    token_of[stage.height :, :] = y.size
    token_of[:, stage.width :] = y.size
    occupied = np.zeros(segment.max() + 1, bool)
    occupied[segment[y, x]] = True
    rows, cols = np.nonzero((token_of >= 0) & occupied[segment])
    order = np.argsort(segment[rows, cols], kind="stable")
    rows, cols = rows[order], cols[order]
    _, start, size = np.unique(segment[rows, cols], return_index=True, return_counts=True)
    return Pieces(
        token_of[rows, cols], position[rows, cols], segment[rows, cols], start, size, y.size
    )


def attention_pairs(units, grid_cols, stage):
    """Pairs of tokens of the visible `units` that may see each other, over all blocks of a stage."""
    total = 0
    for block in range(stage.depth):
        _, window, shift = stage.partitions[block % 2 % len(stage.partitions)]
        pieces = find_pieces(units, grid_cols, stage, window, shift)
        total += int((pieces.size**2).sum())
    return total


def pack(sizes, capacity):
    """First-fit decreasing: `(bin of each piece, number of bins)`.

    Raises:
        ValueError: if a piece is larger than `capacity`.
    """
    if len(sizes) and max(sizes) > capacity:
        raise ValueError(f"A piece of {max(sizes)} tokens does not fit a group of {capacity}.")
    room, bins = [], np.zeros(len(sizes), int)
    for piece in np.argsort(-np.asarray(sizes), kind="stable"):
        size = sizes[piece]
        number = next((i for i, free in enumerate(room) if free >= size), len(room))
        if number == len(room):
            room.append(capacity)
        room[number] -= size
        bins[piece] = number
    return bins, len(room)


def choose_capacity(piece_sizes, dim):
    """Group size with the least work, over the masks whose piece sizes are given.

    The work of a slot is its query, key and value projection (`3 * dim` per channel) and its share
    of attention (`2 * size` per channel).

    Returns:
        `(size, count)`: slots per group, and the groups that the worst of these masks needs.
    """
    largest = max(int(max(sizes)) for sizes in piece_sizes)
    total = max(int(sum(sizes)) for sizes in piece_sizes)
    if largest == total:
        return total, 1
    best = None
    for size in sorted({*range(largest, min(total, 6 * largest) + 1, 4), total}):
        fewest = max(-(-int(sum(sizes)) // size) for sizes in piece_sizes)
        if best and fewest * size * (3 * dim + 2 * size) >= best[0]:
            continue
        count = max(pack(list(sizes), size)[1] for sizes in piece_sizes)
        work = count * size * (3 * dim + 2 * size)
        if best is None or work < best[0]:
            best = (work, size, count)
    return best[1], best[2]


def group_tokens(pieces, size, count):
    """Put pieces into `count` groups of `size` slots.

    Returns:
        dict of int32 arrays: `index (count, size)`, the token in each slot (T, one past the last,
        for padding and empty slots); `inverse (T,)`, the slot of each token; `position` and
        `segment (count, size)` as `windows.window_segments` defines them (segment -1: empty slot).
        In a single group, the tokens stand in their order, padding behind them.
        None if the pieces need more than `count` groups.
    """
    bins, needed = pack(pieces.size.tolist(), size)
    if needed > count:
        return None
    index = np.full((count, size), pieces.num_tokens)
    position, segment = np.zeros_like(index), np.full_like(index, -1)
    fill = np.zeros(count, int)
    for piece, number in enumerate(bins):
        rows = slice(pieces.start[piece], pieces.start[piece] + pieces.size[piece])
        slots = slice(fill[number], fill[number] + pieces.size[piece])
        index[number, slots] = pieces.token[rows]
        position[number, slots] = pieces.position[rows]
        segment[number, slots] = pieces.segment[rows]
        fill[number] = slots.stop
    if count == 1:
        order = np.argsort(index[0], kind="stable")
        index, position, segment = index[:, order], position[:, order], segment[:, order]
    flat = index.reshape(-1)
    inverse = np.zeros(pieces.num_tokens, int)
    held = np.flatnonzero(flat < pieces.num_tokens)
    inverse[flat[held]] = held
    arrays = {"index": index, "inverse": inverse, "position": position, "segment": segment}
    return {name: array.astype("int32") for name, array in arrays.items()}


class TokenPlanner:
    """Plans for encoders with global attention: the numbers of the visible units, nothing else."""

    def plan(self, units):
        return {"units": np.asarray(units).astype("int32")}


class GroupPlanner:
    """Plans the groups of every stage and shift, with shapes that are the same for all masks.

    Args:
        stages: `StageGeometry` of each encoder stage.
        grid: `(rows, cols)` of the mask units.
        examples: sequence of int arrays of visible units, all of one length, from which the group
            sizes are chosen. A later mask that needs more groups has no plan.
        tokens: whether plans hold `tokens (T,)` too, the places of the first stage's visible
            tokens in its map, for an encoder with absolute positions.
    """

    def __init__(self, stages, grid, examples, tokens=False):
        self.stages, self.grid, self.tokens = tuple(stages), tuple(grid), tokens
        self._shape = {}
        for number, stage in enumerate(self.stages):
            for name, window, shift in stage.partitions:
                sizes = [
                    find_pieces(units, grid[1], stage, window, shift).size.tolist()
                    for units in examples
                ]
                self._shape[number, name] = choose_capacity(sizes, stage.dim)

    def plan(self, units):
        """Groups for one mask: `{"stage_0": {"plain": groups, "shifted": groups}, ...}`.

        Returns None if the mask does not fit the planned number of groups.
        """
        plan = {}
        if self.tokens:
            first = self.stages[0]
            y, x = token_coordinates(units, self.grid[1], first.side)
            plan["tokens"] = (y * first.width + x).astype("int32")
        for number, stage in enumerate(self.stages):
            entry = {}
            for name, window, shift in stage.partitions:
                pieces = find_pieces(units, self.grid[1], stage, window, shift)
                size, count = self._shape[number, name]
                if pieces.size.max() > size:
                    return None
                entry[name] = group_tokens(pieces, size, count)
                if entry[name] is None:
                    return None
            plan[f"stage_{number}"] = entry
        return plan

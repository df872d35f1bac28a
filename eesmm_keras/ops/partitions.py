"""Two ways to put tokens into sets that attend among themselves: windows of a map, and groups.

A partition has three methods, all that window attention needs to know of it:
`split(tokens) -> (B, sets, S, C)`, `join(sets) -> tokens`, and `bias(table) -> (sets or 1, heads,
S, S)`, the relative position bias plus a large negative number where a token may not look.
"""

import keras
import numpy as np
from keras import ops

from eesmm_keras.device_waits import constant, where
from eesmm_keras.ops import windows
from eesmm_keras.ops.shifts import shift_map

# Large enough that exp() of it is 0 in float32, small enough for float16.
MASKED = -1e4


class WindowPartition:
    """All tokens of a map `(B, H, W, C)`, in (shifted) windows.

    The map is padded at the bottom and right to whole windows with zeros, and these zeros are
    attended to, as in the public Swin code.

    Args:
        height, width: of the map, in tokens.
        window: side of a window, see `grouping.StageGeometry.partitions`.
        shift: cyclic shift in tokens, 0 or `window // 2`.
        hidden: optional bool `(height, width)`: tokens that nobody may attend to. This dense path
            is what the sparse path (`GroupPartition`) must equal on the tokens that are left.
    """

    def __init__(self, height, width, window, shift=0, hidden=None):
        self.height, self.width, self.window, self.shift = height, width, window, shift
        self.rows = windows.padded(height, window)
        self.cols = windows.padded(width, window)
        self._relative = windows.relative_position_index(window)
        self._mask = self._attention_mask(hidden)

    def _attention_mask(self, hidden):
        """float32 `(windows, 1, S, S)`, or None when everybody may attend to everybody."""
        if self.shift == 0 and hidden is None:
            return None
        _, _, segment = windows.window_segments(self.height, self.width, self.window, self.shift)
        segment = windows.split_windows(segment, self.window, self.shift)
        forbidden = segment[:, :, None] != segment[:, None, :]
        if hidden is not None:
            keys = np.zeros((self.rows, self.cols), bool)
            keys[: self.height, : self.width] = hidden
            forbidden |= windows.split_windows(keys, self.window, self.shift)[:, None, :]
        return np.where(forbidden, MASKED, 0.0).astype("float32")[:, None]

    def split(self, x):
        """`(B, H, W, C)` -> `(B, windows, S, C)`."""
        pad = (self.rows - self.height, self.cols - self.width)
        if any(pad):
            x = ops.pad(x, ((0, 0), (0, pad[0]), (0, pad[1]), (0, 0)))
        if self.shift:
            x = shift_map(x, -self.shift)
        w, channels = self.window, x.shape[-1]
        x = ops.reshape(x, (-1, self.rows // w, w, self.cols // w, w, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, self.rows * self.cols // (w * w), w * w, channels))

    def join(self, x):
        """`(B, windows, S, C)` -> `(B, H, W, C)`."""
        w, channels = self.window, x.shape[-1]
        x = ops.reshape(x, (-1, self.rows // w, self.cols // w, w, w, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        x = ops.reshape(x, (-1, self.rows, self.cols, channels))
        if self.shift:
            x = shift_map(x, self.shift)
        return x[:, : self.height, : self.width]

    def bias(self, table):
        """`((2 * window - 1)**2, heads)` -> `(windows or 1, heads, S, S)`, in float32."""
        size = self.window * self.window
        bias = ops.take(table, constant(self._relative.reshape(-1)), axis=0)
        bias = ops.transpose(ops.reshape(bias, (1, size, size, -1)), (0, 3, 1, 2))
        bias = ops.cast(bias, "float32")
        return bias if self._mask is None else bias + constant(self._mask)


class SidesPartition(WindowPartition):
    """Windows of a map that holds the tokens of two images: each sees its own image only (MixMIM).

    Args:
        height, width, window, shift: see `WindowPartition`.
        side: float tensor `(1, height, width, 1)`, 0 or 1: which image a token belongs to.
    """

    def __init__(self, height, width, window, shift, side):
        super().__init__(height, width, window, shift)
        side = self.split(side)[0, :, :, 0]
        apart = ops.abs(side[:, :, None] - side[:, None, :])
        self._apart = ops.cast(apart, "float32")[:, None] * MASKED

    def bias(self, table):
        """`((2 * window - 1)**2, heads)` -> `(windows, heads, S, S)`, in float32."""
        return super().bias(table) + self._apart


class GroupPartition:
    """Some tokens of a map, `(B, T, C)`, in groups of a fixed size that hold whole segments.

    Attention inside a group is masked to the segments (see `windows.window_segments`), so a visible
    token sees exactly the visible tokens (and the padding) of its own window. In a single group the
    tokens stand in their own order, and nothing is moved.

    Args:
        groups: dict of int tensors as `grouping.group_tokens` gives them:
            `index (G, S)`, `inverse (T,)`, `position (G, S)`, `segment (G, S)`.
        window: the side of a window of the map.
    """

    def __init__(self, groups, window):
        self.count, self.size = groups["index"].shape
        self.tokens = groups["inverse"].shape[0]
        self._into, self._out_of = _moves(ops.reshape(groups["index"], (-1,)), groups["inverse"])
        position, segment = groups["position"], groups["segment"]
        relative = position[:, :, None] - position[:, None, :] + 2 * window * (window - 1)
        same = ops.equal(segment[:, :, None], segment[:, None, :])
        # One row behind the table stands for "may not look".
        self._row = ops.reshape(where(same, relative, (2 * window - 1) ** 2), (-1,))

    def split(self, x):
        """`(B, T, C)` -> `(B, G, S, C)`; padding of the map and empty slots are zeros."""
        if self.count == 1:
            missing = self.size - self.tokens
            return (ops.pad(x, ((0, 0), (0, missing), (0, 0))) if missing else x)[:, None]
        x = self._into(x)
        return ops.reshape(x, (-1, self.count, self.size, x.shape[-1]))

    def join(self, x):
        """`(B, G, S, C)` -> `(B, T, C)`."""
        if self.count == 1:
            return x[:, 0, : self.tokens]
        return self._out_of(ops.reshape(x, (-1, self.count * self.size, x.shape[-1])))

    def bias(self, table):
        """`((2 * window - 1)**2, heads)` -> `(G, heads, S, S)`, in float32."""
        table = ops.cast(table, "float32")
        table = ops.pad(table, ((0, 1), (0, 0)), constant_values=MASKED)
        bias = ops.take(table, self._row, axis=0)
        bias = ops.reshape(bias, (self.count, self.size, self.size, table.shape[1]))
        return ops.transpose(bias, (0, 3, 1, 2))


def _moves(index, inverse):
    """Functions that put tokens `(B, T, C)` into slots `(B, K, C)`, and take them out again.

    Every token has one slot, so each is the other's gradient: a gather, where the gradient of a gather
    would be a sum at places that may repeat.

    Args:
        index: `(K,)`, the token of each slot, T for none. inverse: `(T,)`, the slot of each token.
    """

    def into(x):
        return ops.take(ops.pad(x, ((0, 0), (0, 1), (0, 0))), index, axis=1)

    def out_of(x):
        return ops.take(x, inverse, axis=1)

    if keras.backend.backend() == "torch":
        return into, out_of
    return (
        ops.custom_gradient(lambda x: (into(x), out_of)),
        ops.custom_gradient(lambda x: (out_of(x), into)),
    )

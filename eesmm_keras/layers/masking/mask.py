from typing import Any, NamedTuple

from keras import ops


class Mask(NamedTuple):
    """One masked view of a batch, over N mask units. Sign everywhere: 1 = hidden, 0 = visible.

    Attributes:
        visible: int `(V,)`, or `(B, V)` with a mask for each image: the units that the encoder sees,
            in the order in which it gets them.
        scored: int `(S,)` or `(B, S)`: the units that are predicted. They are all that are not
            visible, S = N - V; or all N where several masks overlap (the independent masks of a mix).
        hidden: float32 `(n, N)`, a row for each of n masks of the whole batch, or `(B, N)`.
        plan: the encoder's own plan of the visible units, see `Backbone.planner`; None where the
            encoder sees all places.
    """

    visible: Any
    scored: Any
    hidden: Any
    plan: Any = None

    @property
    def order(self):
        """All N units, `(N,)` or `(B, N)`: the visible ones first."""
        return units_in_order(self.visible, self.scored, self.hidden.shape[-1])


def units_in_order(visible, scored, count):
    """All `count` units with the visible ones first; see `Mask`."""
    return scored if scored.shape[-1] == count else ops.concatenate([visible, scored], axis=-1)

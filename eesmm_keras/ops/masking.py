"""Random masks over mask units, drawn on the host. Sign everywhere: 1 = hidden, 0 = visible."""

import numpy as np


def num_hidden(num_units, mask_ratio, up=False):
    """Number of hidden units: `mask_ratio * num_units` rounded to the nearest, or always `up`.

    Raises:
        ValueError: if nothing would be hidden or nothing would stay visible.
    """
    # 1e-9: 0.6 * 5 is a hair above 3.
    wanted = num_units * mask_ratio
    hidden = int(np.ceil(wanted - 1e-9)) if up else int(np.floor(wanted + 0.5))
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

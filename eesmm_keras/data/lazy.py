"""Sequences whose items are made when they are asked for."""

from collections.abc import Sequence


class Lazy(Sequence):
    """`count` items, item i being `make(i)`.

    Args:
        count: int. make: function from an int in [0, count).
    """

    def __init__(self, count, make):
        self._count, self._make = count, make

    def __len__(self):
        return self._count

    def __getitem__(self, i):
        if not 0 <= i < self._count:
            raise IndexError(i)
        return self._make(i)

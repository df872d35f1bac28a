"""Cyclic shifts of maps, in two ways of the same result."""

import contextlib
import contextvars

from keras import ops

_AS_SLICES = contextvars.ContextVar("as_slices", default=False)


@contextlib.contextmanager
def shifts_as_slices():
    """While this context is open, `shift_map` is traced as slices that are joined anew.

    For runtimes that have no roll. Where there is one it is faster, above all its gradient.
    """
    token = _AS_SLICES.set(True)
    try:
        yield
    finally:
        _AS_SLICES.reset(token)


def shift_map(x, shift):
    """Roll `(B, H, W, C)` by `shift` tokens down and to the right (negative: up and to the left)."""
    if not _AS_SLICES.get():
        return ops.roll(x, (shift, shift), axis=(1, 2))
    rows, cols = -shift % x.shape[1], -shift % x.shape[2]
    x = ops.concatenate([x[:, rows:], x[:, :rows]], axis=1)
    return ops.concatenate([x[:, :, cols:], x[:, :, :cols]], axis=2)

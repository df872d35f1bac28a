"""Operations that would make PyTorch wait for its device, without the wait.

PyTorch runs ahead of a GPU until it reads a number back or copies one there. On the other backends,
which compile whole steps, these are what Keras has.
"""

import functools

import keras
import numpy as np
from keras import ops


def where(condition, x, y):
    """`keras.ops.where`, which would first copy Python numbers to the device."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.where(condition, x, y)
    return ops.where(condition, x, y)


def constant(array):
    """A NumPy array that never changes as a tensor; on PyTorch it is copied to a device once."""
    if keras.backend.backend() != "torch":
        return ops.convert_to_tensor(array)
    from keras.src.backend.torch.core import get_device

    array = np.ascontiguousarray(array)
    return _copied(array.tobytes(), array.dtype.str, array.shape, str(get_device()))


@functools.lru_cache(maxsize=256)
def _copied(data, dtype, shape, device):
    return ops.convert_to_tensor(np.frombuffer(data, dtype).reshape(shape))


class SeedGenerator(keras.random.SeedGenerator):
    """`keras.random.SeedGenerator` whose numbers PyTorch need not fetch from the device.

    The state is a variable as ever, for checkpoints; its numbers are read again only after somebody
    else has written to it.
    """

    _known = None, 0, None  # the variable's tensor, how often it was written to, what it holds

    def next(self, ordered=True):
        state = self.state.value
        if keras.backend.backend() != "torch" or not ordered or state.is_meta:
            return super().next(ordered)
        tensor, version, numbers = self._known
        # PyTorch counts what is written to a tensor.
        if tensor is not state or version != state._version:
            numbers = state.tolist()
        seed, drawn = numbers
        state.detach()[1].add_(1)
        self._known = state, state._version, (seed, drawn + 1)
        return seed, drawn

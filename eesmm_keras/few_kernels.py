"""Many small variables in few kernels, on JAX.

A step does the same to hundreds of variables, most of them a few hundred numbers long: it casts, looks
at and updates each. XLA makes a kernel of each, and on a GPU such a kernel takes as long as its launch.
What it does merge is operations of one shape that read a common array: here they are given one.
"""

import jax
import jax.numpy as jnp

# Gradients of fewer numbers are looked at as they are, in one array.
_SMALL = 1 << 14


class Flags:
    """One flag for all variables, as an array of which each reads as much as its last axis is long.

    Args:
        flag: bool scalar. variables: of the optimizer.
    """

    def __init__(self, flag, variables):
        longest = max((variable.shape[-1] for variable in variables if variable.shape), default=1)
        self.flag, self.all = flag, _common(flag, longest)

    def of(self, variable):
        """The flag, in a shape that goes with the variable's."""
        return self.all[: variable.shape[-1]] if variable.shape else self.flag


def sum_of_squares(arrays):
    """Of all numbers in a list of arrays, float32: not finite where any of them is not."""
    longest = max((array.shape[-1] for array in arrays if array.ndim), default=1)
    ones, found = _common(jnp.float32(1), longest), []
    for array in arrays:
        squares = jnp.square(array.astype("float32"))
        if squares.size > _SMALL:
            squares = jnp.sum(squares * ones[: squares.shape[-1]], axis=-1)
        found.append(squares.reshape(-1))
    # Without the barrier XLA takes the sum apart again, into one for each array.
    return jnp.sum(jax.lax.optimization_barrier(jnp.concatenate(found)))


def read_in_common(arrays):
    """The same arrays, read together with a common one: casts of one shape become one kernel."""
    longest = max((array.shape[-1] for array in arrays if array.ndim), default=1)
    ones = _common(jnp.float32(1), longest)
    return [
        array * ones[: array.shape[-1]].astype(array.dtype) if array.ndim else array
        for array in arrays
    ]


def _common(value, length):
    """The value so often, in an array of which the compiler does not know that it is constant."""
    return jax.lax.optimization_barrier(jnp.broadcast_to(value, (length,)))

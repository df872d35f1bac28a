"""Attention inside sets of tokens in one GPU kernel, and its gradient in another, on JAX.

Scores, softmax and weighted sum of a set stay on the chip (after FlashAttention, Dao et al., 2022; the
sets are so small that a whole row of scores fits). Queries, keys and values are read where the dense
layer left them, so nothing is transposed, and the weights are computed again on the way back.

The kernels are Pallas programs, which XLA compiles with Triton. A program needs whole tiles, powers of
two: sets are padded to them on the chip, and nothing is read or written beyond the arrays.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas
from jax.experimental.pallas import triton

# What a padding key scores: exp() of it is 0 beside any other score.
_NOWHERE = -1e30
_LARGEST, _SMALLEST = 128, 16
# Images whose gradient of the bias one program sums up; the sums of the programs are added afterwards,
# in one order, so that results are the same in every run.
_IMAGES = 8


def fits(size, head):
    """Whether there is a kernel for sets of so many tokens and heads of so many channels."""
    return size <= _LARGEST and _SMALLEST <= head <= _LARGEST and head & (head - 1) == 0


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def attend(qkv, bias, num_heads, interpret=False):
    """`softmax(q k' / sqrt(d) + bias) v` of every set and head; products in the inputs' precision.

    Args:
        qkv: `(B, sets, S, 3 * C)`: queries, keys and values, each of `num_heads` heads of d channels.
        bias: float32 `(sets or 1, num_heads, S, S)`.
        num_heads: divides C; see `fits`.
        interpret: compute step by step on any device, to look at the numbers.

    Returns:
        `(B, sets, S, C)`.
    """
    facts = _facts(qkv, bias, num_heads)
    batch, sets, size, _ = qkv.shape
    shape = jax.ShapeDtypeStruct((batch, sets, size, facts["dim"]), qkv.dtype)
    return _launch(_forward, facts, (batch, sets, num_heads), shape, interpret)(qkv, bias)


def _save(qkv, bias, num_heads, interpret):
    return attend(qkv, bias, num_heads, interpret), (qkv, bias)


def _gradient(num_heads, interpret, saved, upstream):
    qkv, bias = saved
    batch, sets, size, _ = qkv.shape
    facts = {**_facts(qkv, bias, num_heads), "batch": batch}
    parts = -(-batch // _IMAGES)
    shapes = [
        jax.ShapeDtypeStruct(qkv.shape, qkv.dtype),
        jax.ShapeDtypeStruct((parts, sets, num_heads, size, size), "float32"),
    ]
    launch = _launch(_backward, facts, (parts, sets, num_heads), shapes, interpret)
    to_qkv, to_bias = launch(qkv, bias, upstream)
    if facts["shared"]:
        return to_qkv, jnp.sum(to_bias, axis=(0, 1))[None]
    return to_qkv, jnp.sum(to_bias, axis=0)


attend.defvjp(_save, _gradient)


def _facts(qkv, bias, num_heads):
    size, dim = qkv.shape[2], qkv.shape[3] // 3
    return {
        "size": size,
        "tile": max(_SMALLEST, 1 << (size - 1).bit_length()),
        "dim": dim,
        "head": dim // num_heads,
        "shared": bias.shape[0] == 1,
        # Products of float32 in three passes, as elsewhere, and not in TensorFloat-32.
        "precision": "highest" if qkv.dtype == "float32" else None,
    }


def _launch(kernel, facts, grid, shapes, interpret):
    return pallas.pallas_call(
        functools.partial(kernel, **facts),
        out_shape=shapes,
        grid=grid,
        interpret=interpret,
        name=kernel.__name__,
        compiler_params=triton.CompilerParams(
            num_warps=4 if facts["tile"] <= 64 else 8, num_stages=1
        ),
    )


def _forward(qkv, bias, out, *, size, tile, dim, head, shared, precision):
    image, group, number = (pallas.program_id(axis) for axis in range(3))
    query, key, value = _heads(qkv, image, group, number, size, tile, dim, head)
    table = _table(bias, group, number, size, tile, shared)
    weights = _weights(query, key, table, precision)
    mixed = _product(weights.astype(value.dtype), value, precision)
    _write(out, (image, group), number * head, size, mixed)


def _backward(
    qkv, bias, upstream, to_qkv, to_bias, *, size, tile, dim, head, shared, precision, batch
):
    part, group, number = (pallas.program_id(axis) for axis in range(3))
    table = _table(bias, group, number, size, tile, shared)
    product = functools.partial(_product, precision=precision)

    def one(k, total):
        image = part * _IMAGES + k
        query, key, value = _heads(qkv, image, group, number, size, tile, dim, head)
        up = _read(upstream, (image, group), number * head, size, tile, head)
        weights = _weights(query, key, table, precision)
        to_weights = product(up, value.T)
        to_scores = weights * (
            to_weights - jnp.sum(weights * to_weights, axis=-1, keepdims=True)
        )  # fmt: skip
        low, place = to_scores.astype(query.dtype), (image, group)
        _write(to_qkv, place, number * head, size, product(low, key) * head**-0.5)
        _write(to_qkv, place, dim + number * head, size, product(low.T, query))
        _write(
            to_qkv, place, 2 * dim + number * head, size, product(weights.astype(up.dtype).T, up)
        )
        return total + to_scores

    images = jnp.minimum(_IMAGES, batch - part * _IMAGES)
    total = jax.lax.fori_loop(0, images, one, jnp.zeros((tile, tile), "float32"))
    rows = jnp.arange(tile)
    inside = (rows < size)[:, None] & (rows < size)[None, :]
    place = (part, group, number, rows[:, None], rows[None, :])
    triton.store(to_bias.at[place], total, mask=inside)


def _product(left, right, precision):
    return jnp.dot(left, right, precision=precision, preferred_element_type="float32")


def _weights(query, key, table, precision):
    scores = _product(query, key.T, precision) + table
    powers = jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))
    return powers / jnp.sum(powers, axis=-1, keepdims=True)


def _heads(qkv, image, group, number, size, tile, dim, head):
    """Scaled queries, keys and values of a head, `(tile, head)`; zeros for the padding."""
    query, key, value = (
        _read(qkv, (image, group), third * dim + number * head, size, tile, head)
        for third in range(3)
    )
    return (query * head**-0.5).astype(query.dtype), key, value


def _read(array, place, column, size, tile, head):
    rows, columns = jnp.arange(tile), column + jnp.arange(head)
    inside = jnp.broadcast_to((rows < size)[:, None], (tile, head))
    # The padding's rows are read from the last one, and thrown away.
    place = (*place, jnp.minimum(rows, size - 1)[:, None], columns[None, :])
    return triton.load(array.at[place], mask=inside, other=0)


def _table(bias, group, number, size, tile, shared):
    rows = jnp.arange(tile)
    near, inside = jnp.minimum(rows, size - 1), rows < size
    place = (0 if shared else group, number, near[:, None], near[None, :])
    found = triton.load(bias.at[place], mask=inside[:, None] & inside[None, :], other=0)
    return jnp.where(inside[None, :], found, _NOWHERE)


def _write(array, place, column, size, values):
    rows, columns = jnp.arange(values.shape[0]), column + jnp.arange(values.shape[1])
    inside = jnp.broadcast_to((rows < size)[:, None], values.shape)
    place = (*place, rows[:, None], columns[None, :])
    triton.store(array.at[place], values.astype(array.dtype), mask=inside)

"""The loops of `bilinear`, compiled by Numba: Pillow's algorithm in whole numbers, pixel for pixel.

Pillow weighs 8-bit pixels in fixed point along the rows, rounds to 8 bits, then along the columns, or
the other way round.
Weights are not negative, so that two sums of 32 bits fit side by side into one number of 64 bits.
"""

import numpy as np
from numba import njit
from numba.types import Array, boolean, float32, int64, uint8, void

_BITS = 22  # of the fixed point
_HALF = np.uint64((1 << (_BITS - 1)) | (1 << (_BITS + 31)))  # one half, in both sums
_LOW, _HIGH = np.uint64(_BITS), np.uint64(_BITS + 32)  # where their whole parts begin
_1, _2, _3, _32 = (
    np.uint64(value) for value in (1, 2, 3, 32)
)  # NumPy's unsigned: no wrapping around

_compiled = {"nogil": True, "cache": True}


@njit(**_compiled)
def _weights(length, first, last, count):
    """Which pixels of a line make each pixel of the result, and how much of them.

    Args:
        length: pixels of the whole line. first, last: float32, ends of the part. count: of the result.

    Returns:
        `(begins, weights)`: int64 `(count,)` and `(count, n)`, n even; weights of pixels that have no
        say, some of which may lie behind the line's end, are 0.
    """
    scale = np.float64(last - first) / count
    reach = max(scale, 1.0)
    begins = np.zeros(count, np.int64)
    shares = np.zeros((count, int(np.ceil(reach)) * 2 + 2))
    most = 1
    for k in range(count):
        center = first + (k + 0.5) * scale
        begin = max(int(center - reach + 0.5), 0)
        here = min(int(center + reach + 0.5), length) - begin
        total = 0.0
        for t in range(here):
            shares[k, t] = max(1.0 - abs((t + begin - center + 0.5) * (1.0 / reach)), 0.0)
            total += shares[k, t]
        for t in range(here):
            shares[k, t] /= total
        begins[k], most = begin, max(most, here)
    return begins, (0.5 + shares[:, : most + most % 2] * (1 << _BITS)).astype(np.int64)


@njit(**_compiled)
def _pairs(one, other, begin, end, sums):
    """Two rows of pixels as three lines of two numbers each: `(3, columns)`."""
    a, b, c = sums[0], sums[1], sums[2]
    for x in range(begin, end):
        x = np.uint64(x)
        k = _3 * x
        a[x] = np.uint64(one[k]) | np.uint64(one[k + _1]) << _32
        b[x] = np.uint64(one[k + _2]) | np.uint64(other[k]) << _32
        c[x] = np.uint64(other[k + _1]) | np.uint64(other[k + _2]) << _32


@njit(**_compiled)
def _weighed(lines, begins, weights, sums):
    """Weighed sums of three lines at once."""
    a, b, c = lines[0], lines[1], lines[2]
    for k in range(len(begins)):
        k = np.uint64(k)
        at = np.uint64(begins[k])
        left, right = weights[k, np.uint64(0)], weights[k, _1]
        sums[0, k] = _HALF + left * a[at] + right * a[at + _1]
        sums[1, k] = _HALF + left * b[at] + right * b[at + _1]
        sums[2, k] = _HALF + left * c[at] + right * c[at + _1]
    for t in range(2, weights.shape[1], 2):
        t = np.uint64(t)
        for k in range(len(begins)):
            k = np.uint64(k)
            at = np.uint64(begins[k]) + t
            left, right = weights[k, t], weights[k, t + _1]
            sums[0, k] += left * a[at] + right * a[at + _1]
            sums[1, k] += left * b[at] + right * b[at + _1]
            sums[2, k] += left * c[at] + right * c[at + _1]


@njit(**_compiled)
def _parted(sums, one, other):
    """The sums' whole parts, as two rows of pixels."""
    a, b, c = sums[0], sums[1], sums[2]
    for k in range(sums.shape[1]):
        k = np.uint64(k)
        one[_3 * k], one[_3 * k + _1] = np.uint8(a[k] >> _LOW), np.uint8(a[k] >> _HIGH)
        one[_3 * k + _2] = np.uint8(b[k] >> _LOW)
    for k in range(sums.shape[1]):
        k = np.uint64(k)
        other[_3 * k], other[_3 * k + _1] = np.uint8(b[k] >> _HIGH), np.uint8(c[k] >> _LOW)
        other[_3 * k + _2] = np.uint8(c[k] >> _HIGH)


@njit(**_compiled)
def _down(rows, begins, weights, out):
    """Weigh rows of numbers."""
    count = rows.shape[1]
    sums = np.empty(count, np.int32)
    for y in range(len(begins)):
        sums[:] = 1 << (_BITS - 1)
        for t in range(weights.shape[1]):
            weight = np.int32(weights[y, t])
            if weight == 0:
                continue
            row = rows[begins[y] + t]
            for j in range(count):
                j = np.uint64(j)
                sums[j] = np.int32(sums[j] + weight * np.int32(row[j]))
        line = out[y]
        for j in range(count):
            j = np.uint64(j)
            line[j] = np.uint8(sums[j] >> _BITS)


@njit(**_compiled)
def _across(rows, count, span, begins, weights, out):
    """Weigh pixels within each of the first `count` rows, of which those of a span are needed."""
    lines = np.zeros((3, rows.shape[1] // 3 + weights.shape[1]), np.uint64)
    sums = np.empty((3, len(begins)), np.uint64)
    for y in range(0, count, 2):
        following = min(y + 1, count - 1)
        _pairs(rows[y], rows[following], span[0], span[1], lines)
        _weighed(lines, begins, weights, sums)
        _parted(sums, out[y], out[following])


_Bytes = Array(uint8, 2, "C", readonly=True)
_Out = Array(uint8, 2, "C")
_Box = Array(float32, 1, "C")
_signature = void(_Bytes, int64, int64, int64, int64, _Box, boolean, boolean, _Out)


@njit(_signature, **_compiled)
def resample(rows, x, y, width, height, box, columns_first, mirrored, out):
    """A box of a picture, brought to another size.

    Args:
        rows: uint8 `(h, 3 w)`, at least those pixels of the picture that the box needs.
        x, y: where they lie in the picture. width, height: of the picture.
        box: float32 `(left, top, right, bottom)`.
        columns_first: whether pixels are weighed along the columns first.
        mirrored: whether columns come in the other order.
        out: uint8 `(H, 3 W)`, written to.
    """
    lefts, shares = _weights(width, box[0], box[2], out.shape[1] // 3)
    tops, down = _weights(height, box[1], box[3], out.shape[0])
    span = lefts[0] - x, min(lefts[-1] + shares.shape[1] - x, rows.shape[1] // 3)
    first, last = tops[0] - y, min(tops[-1] + down.shape[1] - y, rows.shape[0])
    if mirrored:
        lefts, shares = lefts[::-1].copy(), shares[::-1].copy()
    lefts, across = lefts - x, shares.astype(np.uint64)
    if columns_first:
        between = np.empty((len(out), rows.shape[1]), np.uint8)
        _down(rows, tops - y, down, between)
        _across(between, len(out), span, lefts, across, out)
    else:
        between = np.empty((last - first, out.shape[1]), np.uint8)
        _across(rows[first:], last - first, span, lefts, across, between)
        _down(between, tops - y - first, down, out)

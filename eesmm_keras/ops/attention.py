"""The core of attention, as each backend does it best."""

import keras
from keras import ops


def attention(query, key, value, bias=None, drop=None):
    """`softmax(query key^T + bias) value`, with the softmax in float32 (Vaswani et al., 2017, Eq. 1).

    On PyTorch it is `scaled_dot_product_attention` wherever that has a fused kernel: not with `drop`,
    whose numbers are drawn from a layer's own seed, and on a processor not for a bias that is trained.

    Args:
        query: `(B, ..., heads, T, head)`, scaled already. key, value: the same with S tokens.
        bias: what is added to the scores before the softmax, float32, a shape that broadcasts to
            `(..., heads, T, S)`, or None.
        drop: function of the weights `(B, ..., heads, T, S)`, or None.

    Returns:
        `(B, ..., heads, T, head)`.
    """
    if drop is None and keras.backend.backend() == "torch" and _is_fused(query, value, bias):
        return _fused(query, key, value, bias)
    scores = ops.cast(ops.matmul(query, ops.swapaxes(key, -1, -2)), "float32")
    if bias is not None:
        scores = scores + bias
    weights = ops.cast(ops.softmax(scores, axis=-1), value.dtype)
    if drop is not None:
        weights = drop(weights)
    return ops.matmul(weights, value)


def _is_fused(query, value, bias):
    """Whether PyTorch has a kernel for these, and not only the same operations one by one."""
    if query.dtype != value.dtype:
        return False
    return bias is None or query.is_cuda or not bias.requires_grad


def _fused(query, key, value, bias):
    """PyTorch's kernels take four axes, `(B, heads, T, head)`, and a bias that broadcasts to them."""
    from torch.nn.functional import scaled_dot_product_attention

    shape, merge = query.shape, _with_heads
    if bias is not None:
        bias = ops.cast(bias, query.dtype)
        if len(shape) == 5 and bias.shape[0] == 1:
            bias, merge = bias[0], _with_batch
        elif len(shape) == 5:
            bias = bias.expand(*shape[1:4], key.shape[-2]).flatten(0, 1)
        bias = bias.expand(*merge(query).shape[:-1], key.shape[-2])
    parts = (merge(part) for part in (query, key, value))
    return scaled_dot_product_attention(*parts, attn_mask=bias, scale=1.0).reshape(shape)


def _with_heads(x):
    """`(B, sets, heads, T, head)` -> `(B, sets * heads, T, head)`: a bias is of each set."""
    return x.flatten(1, -3)


def _with_batch(x):
    """`(B, sets, heads, T, head)` -> `(B * sets, heads, T, head)`: all sets have one bias."""
    return x.flatten(0, -4)

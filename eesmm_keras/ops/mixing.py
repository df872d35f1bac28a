"""Mixing of images (EESMM, Kang et al., 2025, Algorithm 1 and Eq. 3)."""

import numpy as np
from keras import ops

from eesmm_keras.checks import check_list, check_number
from eesmm_keras.device_waits import constant, where
from eesmm_keras.parallel import device_parts, draw_rows


def check_mix_weights(mix_weights, num_mixed):
    """Fixed lambdas of a mix as a tuple of floats; None gives `1 / num_mixed` each.

    Raises:
        ValueError: if there are not `num_mixed` of them, one is not positive, or they don't sum
            to 1.
    """
    if mix_weights is None:
        return (1.0 / num_mixed,) * num_mixed
    weights = check_list("mix_weights", mix_weights)
    weights = tuple(float(check_number("mix_weights", weight)) for weight in weights)
    if len(weights) != num_mixed or min(weights) <= 0 or abs(sum(weights) - 1) > 1e-6:
        raise ValueError(
            f"mix_weights needs num_mixed={num_mixed} positive numbers that sum to 1, "
            f"got {tuple(mix_weights)}."
        )
    return weights


def check_loss_weights(loss_weights, num_mixed):
    """Weights of the mixed loss and of each source's as a tuple of floats; None gives ones.

    Raises:
        ValueError: if there are not `1 + num_mixed` of them, one is negative, or all are zero.
    """
    if loss_weights is None:
        return (1.0,) * (num_mixed + 1)
    weights = tuple(
        check_number("loss_weights", w) for w in check_list("loss_weights", loss_weights)
    )
    if len(weights) != num_mixed + 1 or min(weights) < 0 or max(weights) == 0:
        raise ValueError(
            f"loss_weights needs {num_mixed + 1} numbers >= 0 for num_mixed={num_mixed} (the mix, "
            f"then each source), not all zero; got {weights}."
        )
    return tuple(float(weight) for weight in weights)


def group_images(images, num_mixed):
    """Split a batch into the sources of each mix: `(B, ...)` -> `(ceil(B / n), n, ...)`.

    The images of a mix are neighbours in the batch, so a mix never crosses two replicas that each
    got a contiguous part. If B is not a multiple of n, the last mix is filled up with the first
    images of the batch: no image is dropped, none is mixed with itself while B >= n.
    """
    batch = images.shape[0] if images.shape[0] is not None else ops.shape(images)[0]
    mixes = -(-batch // num_mixed)
    if not (isinstance(batch, int) and batch % num_mixed == 0):
        images = ops.take(images, ops.arange(mixes * num_mixed) % batch, axis=0)
    return ops.reshape(images, (-1, num_mixed, *images.shape[1:]))


def mix(sources, weights, axis=1):
    """`sum_k lambda_k * source_k` over `axis` (Algorithm 1)."""
    return ops.sum(sources * along_axis(weights, len(sources.shape), axis), axis=axis)


def leave_some_unmixed(sources, share, seeds):
    """A share of the mixes become mixes of an image with itself, which is that image.

    Args:
        sources: `(M, n, H, W, C)`. share: in [0, 1]. seeds: `keras.random.SeedGenerator`.

    Returns:
        `(M, n, H, W, C)`: where a mix was chosen, its first image n times.
    """
    from keras import random

    chances = draw_rows(
        lambda rows: random.uniform((rows, 1, 1, 1, 1), seed=seeds), ops.shape(sources)[0]
    )
    return where(chances < share, sources[:, :1], sources)


def along_axis(weights, rank, axis=1):
    """Fixed weights as a float32 tensor that broadcasts along one axis of a rank-`rank` tensor."""
    shape = [1] * rank
    shape[axis] = len(weights)
    return constant(np.reshape(weights, shape).astype("float32"))


def affine_views(images, angle, scale, shift):
    """Rotate by `angle`, zoom by `scale` about the centre and shift, each `(B,)` float32.

    Args:
        images: `(B, H, W, C)`.
        angle: radians, counter-clockwise as seen with row 0 on top.
        scale: side of the part that is shown, in units of the image (< 1 zooms in).
        shift: `(B, 2)`, in units of the image: where the shown part's centre moves to, (x, y).

    Returns:
        `(B, H, W, C)`; outside the image its border is mirrored.
    """
    height, width = images.shape[1:3]
    cos, sin = ops.cos(angle) * scale, ops.sin(angle) * scale
    cx, cy = (width - 1) / 2, (height - 1) / 2
    # Maps an output pixel (x, y) to the input pixel it is taken from.
    tx = cx + shift[:, 0] * width - cos * cx + sin * cy
    ty = cy + shift[:, 1] * height - sin * cx - cos * cy
    zero = ops.zeros_like(cos)
    transform = ops.stack([cos, -sin, tx, sin, cos, ty, zero, zero], axis=1)
    return ops.image.affine_transform(
        images,
        transform,
        interpolation="bilinear",
        fill_mode="reflect",
        data_format="channels_last",
    )


def two_views(images, seeds, even):
    """The two views of Eq. 3, averaged: the weights `l1 + l1` and `l2 + l2` become 1/2 + 1/2.

    Sources 1, 3, ... of a mix (`even=True`): a rotation by up to 30 degrees and a horizontal flip.
    Sources 2, 4, ...: a change of scale by up to 1.25 either way, and a crop of 67 to 100 % of
    the area, shown at full size.

    Args:
        images: `(B, H, W, C)`.
        seeds: `keras.random.SeedGenerator`.

    Returns:
        `(B, H, W, C)`, the average of the two views.
    """
    from keras import random

    count = ops.shape(images)[0]

    def uniform(low, high, *inner):
        return draw_rows(lambda rows: random.uniform((rows, *inner), low, high, seed=seeds), count)

    zero = ops.zeros((count,))
    still = ops.zeros((count, 2))
    if even:
        angle = uniform(-np.pi / 6, np.pi / 6)
        first = affine_views(images, angle, zero + 1, still)
        second = ops.flip(images, axis=2)
    else:
        scale = ops.exp(uniform(-np.log(1.25), np.log(1.25)))
        first = affine_views(images, zero, scale, still)
        side = ops.sqrt(uniform(0.67, 1.0))
        shift = uniform(-0.5, 0.5, 2) * (1 - side)[:, None]
        second = affine_views(images, zero, side, shift)
    return (first + second) / 2


def partners(x, kind):
    """The partner of every image of a batch `(B, ...)` (MixMIM), within each device's part of it.

    Args:
        kind: "next", "reversed" or "pair", see `MixMIM`.
    """
    if kind == "pair":
        rows = ops.shape(x)[0]
        partner = ops.bitwise_xor(ops.arange(rows, dtype="int32"), 1)
        return ops.take(x, where(partner < rows, partner, 0), axis=0)
    count = device_parts(x.shape[0]) if x.shape[0] else 1
    grouped = ops.reshape(x, (count, -1, *x.shape[1:]))
    turned = ops.flip(grouped, axis=1) if kind == "reversed" else ops.roll(grouped, -1, axis=1)
    return ops.reshape(turned, (-1, *x.shape[1:]))


class ImageMixer:
    """Images of a batch as the sources of mixes.

    Args:
        weights: the n lambdas. mixing: "mean", or "views": each source is the average of two views.
        unmixed_share: share of the mixes that hold one image alone while training.
        seeds: `keras.random.SeedGenerator`.
    """

    def __init__(self, weights, mixing, unmixed_share, seeds):
        self.weights, self.mixing = weights, mixing
        self.unmixed_share, self.seeds = unmixed_share, seeds

    def sources(self, images, training):
        """`(B, H, W, C)` -> the sources of M = ceil(B / n) mixes, float32 `(M, n, H, W, C)`."""
        count = len(self.weights)
        sources = group_images(ops.cast(images, "float32"), count)
        if training and self.unmixed_share:
            sources = leave_some_unmixed(sources, self.unmixed_share, self.seeds)
        if self.mixing == "mean":
            return sources
        views = [two_views(sources[:, k], self.seeds, even=k % 2 == 0) for k in range(count)]
        return ops.stack(views, axis=1)

    def mix(self, sources):
        """`(M, n, ...)` -> `(M, ...)`."""
        return mix(sources, self.weights)

    def whole_mixes(self, images, mixed):
        """`(M,)` ones, or zeros if the batch was too small to mix (known at run time only).

        Raises:
            ValueError: the batch is known to be too small.
        """
        batch, count = images.shape[0], len(self.weights)
        ones = ops.ones_like(mixed[:, 0, 0])
        if batch is None:
            return ones * ops.cast(ops.shape(images)[0] >= count, "float32")
        if batch < count:
            raise ValueError(
                f"A batch of {batch} images cannot be mixed by num_mixed={count}. Use larger "
                "batches, or drop the remainder of the dataset."
            )
        return ones

"""Weights for other sizes: what belongs to places or pixels, resampled. NumPy, done once at loading."""

import numpy as np

from eesmm_keras.names import check_choice


def cubic_matrix(source, target):
    """`(target, source)` weights of cubic interpolation along one axis.

    Keys' kernel with a = -0.75, cells aligned at the borders, edges repeated: what
    `torch.nn.functional.interpolate(mode="bicubic", align_corners=False)` computes.
    """
    place = (np.arange(target) + 0.5) * source / target - 0.5
    first = np.floor(place).astype(int)
    matrix = np.zeros((target, source))
    for offset in range(-1, 3):
        distance = np.abs(place - (first + offset))
        column = np.clip(first + offset, 0, source - 1)
        np.add.at(matrix, (np.arange(target), column), _keys(distance))
    return matrix


def _keys(distance, a=-0.75):
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    far = a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def resize_map(values, shape):
    """Bicubic: `(rows, cols, C)` to `(*shape, C)`, float32."""
    if values.shape[:2] == tuple(shape):
        return values
    down = cubic_matrix(values.shape[0], shape[0])
    across = cubic_matrix(values.shape[1], shape[1])
    return np.einsum("ij,kl,jlc->ikc", down, across, values).astype("float32")


def resize_positions(table, source, target):
    """Learned absolute positions of another grid, bicubic.

    Args:
        table: `(rows * cols, C)`, row-major. source, target: `(rows, cols)`.
    """
    cells = resize_map(table.reshape(*source, -1), target)
    return cells.reshape(target[0] * target[1], -1)


def resize_bias_table(table, window, how="bicubic"):
    """Relative position bias for another window.

    Args:
        table: `((2 * w - 1)**2, heads)`.
        window: side of the new window.
        how: "bicubic", of the table as an image (Swin); or "geometric" (SimMIM's public code): the
            source's offsets are taken to grow geometrically up to the largest new one, so that
            near ones keep their bias, and a cubic spline goes through them.

    Returns:
        `((2 * window - 1)**2, heads)`, float32.
    """
    check_choice("tables", how, ("bicubic", "geometric"))
    side, target = round(len(table) ** 0.5), 2 * window - 1
    if side == target:
        return table
    square = table.reshape(side, side, -1).astype("float64")
    if how == "bicubic" or side < 3:
        return resize_map(square, (target, target)).reshape(target * target, -1).astype("float32")
    spline = _geometric_spline(side, target)
    return (
        np.einsum("ij,kl,jlc->ikc", spline, spline, square).reshape(target**2, -1).astype("float32")
    )


def _geometric_spline(side, target):
    """`(target, side)`: from values at geometrically growing offsets to every whole offset."""
    from scipy.interpolate import CubicSpline

    low, high = 1.01, 1.5
    while high - low > 1e-6:
        ratio = (low + high) / 2
        if (1 - ratio ** (side // 2)) / (1 - ratio) > target // 2:
            high = ratio
        else:
            low = ratio
    half = np.cumsum(ratio ** np.arange(side // 2))
    places = np.concatenate([-half[::-1], [0.0], half])
    wanted = np.clip(np.arange(target) - target // 2, places[0], places[-1])
    return CubicSpline(places, np.eye(side), bc_type="not-a-knot")(wanted)


def resize_patch_kernel(kernel, source, target):
    """Patch embedding for patches of another side (pseudo-inverse resize, Beyer et al., 2023).

    The new kernel gives a patch that was enlarged the token of the patch as it was; for smaller
    patches, the nearest to that in the least squares.

    Args:
        kernel: `(source * source * channels, C)`. source, target: sides of a patch.
    """
    if source == target:
        return kernel
    enlarge = np.kron(cubic_matrix(source, target), cubic_matrix(source, target))
    cells = kernel.reshape(source * source, -1).astype("float64")
    cells = np.linalg.pinv(enlarge.T) @ cells
    return cells.reshape(-1, kernel.shape[1]).astype("float32")


def change_channels(kernel, source, target, how="mean"):
    """Patch embedding for another number of channels.

    Args:
        kernel: `(pixels * source, C)`, channels last inside a pixel.
        source, target: numbers of channels.
        how: "mean", every new channel begins as the mean of the old ones; "repeat", the old ones over
            and over; both scaled by `source / target`, so that tokens keep their size. "first": the
            first ones are kept, further ones begin at zero.
    """
    check_choice("channels", how, ("mean", "repeat", "first"))
    if source == target:
        return kernel
    cells = kernel.reshape(-1, source, kernel.shape[1])
    scale = source / target
    if how == "mean":
        cells = np.repeat(cells.mean(axis=1, keepdims=True), target, axis=1) * scale
    elif how == "repeat":
        cells = cells[:, np.arange(target) % source] * scale
    else:
        kept = cells[:, :target]
        empty = np.zeros((len(cells), max(0, target - source), kernel.shape[1]))
        cells = np.concatenate([kept, empty], axis=1)
    return cells.reshape(-1, kernel.shape[1]).astype("float32")


def change_normalization(kernel, bias, source, target):
    """Patch embedding for pixels that are normalised with another mean and deviation: exact.

    Args:
        kernel: `(pixels * channels, C)`; bias: `(C,)`.
        source, target: `(mean, std)` each, one number per channel, for pixels scaled to 0..1.

    Returns:
        `(kernel, bias)`, float32.
    """
    (mean, std), (new_mean, new_std) = np.float64(source), np.float64(target)
    cells = kernel.reshape(-1, len(mean), kernel.shape[1]).astype("float64")
    shift = np.einsum("pcd,c->d", cells, (new_mean - mean) / std)
    cells = cells * (new_std / std)[None, :, None]
    return (
        cells.reshape(-1, kernel.shape[1]).astype("float32"),
        (bias + shift).astype("float32"),
    )

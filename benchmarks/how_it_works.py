"""The picture of docs/how_it_works.md: the way of two images to the encoder's attention groups.

    python benchmarks/how_it_works.py docs/how_it_works.png

The images come with scikit-learn; masks, windows and groups are made by the code of the package.
Nothing is trained.
"""

import sys

import matplotlib
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from eesmm_keras.ops.grouping import GroupPlanner, find_pieces, stage_geometries
from eesmm_keras.ops.masking import sample_masks
from eesmm_keras.ops.windows import window_segments

SIZE, GRID, STAGE = 224, 7, 1


def photographs():
    """Two photographs `(224, 224, 3)`."""
    squares = (np.asarray(image)[:420, 100:520] for image in load_sample_images().images)
    return [np.asarray(Image.fromarray(square).resize((SIZE, SIZE))) for square in squares]


def main(out):
    first, second = photographs()
    mix = (first / 2 + second / 2).astype("uint8")
    hidden = sample_masks(np.random.default_rng(4), GRID * GRID, 0.75)[0].reshape(GRID, GRID)
    units = np.flatnonzero(hidden.reshape(-1) == 0)
    shown = mix.copy()
    shown[np.kron(hidden, np.ones((SIZE // GRID,) * 2)) > 0] = 225

    stages = stage_geometries((SIZE, SIZE, 3), 4, 96, (2, 2, 6, 2), (7, 7, 7, 7), True)
    stage = stages[STAGE]
    pieces = find_pieces(units, GRID, stage, stage.window, 0)
    groups = GroupPlanner(stages, (GRID, GRID), [units]).plan(units)[f"stage_{STAGE}"]["plain"]

    figure, axes = plt.subplots(2, 3, figsize=(9, 6.4), constrained_layout=True)
    axes = axes.ravel()
    titles = ("first image", "second image", "mix", "visible units (25 %)")
    for axis, image, title in zip(axes, (first, second, mix, shown), titles, strict=False):
        axis.imshow(image)
        axis.set_title(title, fontsize=14)
    colours = _colours(pieces.segment)
    _windows(axes[4], hidden, stage, colours)
    _groups(axes[5], groups, len(pieces.size), colours)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(out, dpi=100)
    # Few colours are enough, and a quarter of the bytes.
    Image.open(out).convert("RGB").quantize(128).save(out, optimize=True)


def _windows(axis, hidden, stage, colours):
    """Visible tokens of one stage, each in the colour of its window."""
    _, _, number = window_segments(stage.height, stage.width, stage.window, 0)
    number = np.where(np.kron(hidden, np.ones((stage.side,) * 2)) > 0, -1, number)
    axis.imshow(colours[number])
    for line in range(0, stage.height + 1, stage.window):
        axis.axhline(line - 0.5, color="black", linewidth=0.8)
        axis.axvline(line - 0.5, color="black", linewidth=0.8)
    axis.set_title("visible tokens in their windows", fontsize=14)


def _groups(axis, groups, windows, colours):
    """Slots of the attention groups, in the colours of the windows; white: an empty slot."""
    axis.imshow(colours[groups["segment"]], aspect="auto", interpolation="nearest")
    axis.set_box_aspect(1)
    for line in range(len(groups["segment"]) + 1):
        axis.axhline(line - 0.5, color="black", linewidth=0.8)
    axis.set_title(f"{windows} windows in {len(groups['segment'])} equal groups", fontsize=14)


def _colours(segments):
    """`(numbers + 1, 3)`: a colour for each window that holds tokens, white for number -1."""
    table = np.ones((segments.max() + 2, 3))
    used = np.unique(segments)
    table[used] = [matplotlib.colormaps["tab20"](rank % 20)[:3] for rank in range(len(used))]
    return table


if __name__ == "__main__":
    main(sys.argv[1])

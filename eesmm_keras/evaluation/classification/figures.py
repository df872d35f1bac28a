"""Pictures of a classifier's confusions and calibration."""

import warnings

import numpy as np
from matplotlib.figure import Figure

# More classes than these have no names and numbers in the picture.
_NAMED, _NUMBERED = 60, 20


def confusion(file, counts, class_names):
    """Confusion matrix, each row as shares of its true class.

    Args:
        file: open for bytes, becomes a PNG. counts: int `(classes, classes)`, rows are true.
    """
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(2.5 + 0.35 * classes, 4, 14))
    figure = Figure((side, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.7)
    axes.set(xlabel="said", ylabel="true")
    if classes <= _NAMED:
        names = [name if len(name) <= 20 else f"{name[:19]}…" for name in class_names]
        axes.set_xticks(range(classes), names, rotation=90, parse_math=False)
        axes.set_yticks(range(classes), names, parse_math=False)
    if classes <= _NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, count, ha="center", va="center", fontsize=8, color=colour)
    with warnings.catch_warnings():
        # Names in a script that matplotlib's font lacks are boxes here; the other files have them.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
        figure.savefig(file, format="png", dpi=110)


def calibration(file, images, confidence, right):
    """Reliability diagram: share right over confidence; see `measures.reliability`."""
    figure = Figure((4.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    there = images > 0
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, label="well calibrated")
    axes.plot(confidence[there], right[there], "o-", label="the model")
    width = 1 / len(images)
    heights = images / images.sum()
    axes.bar(np.arange(len(images)) * width, heights, width, align="edge", alpha=0.2,
             label="share of the images")  # fmt: skip
    axes.set(xlabel="probability of the class said", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")
    figure.savefig(file, format="png", dpi=110)

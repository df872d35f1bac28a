"""The loss has not fallen since the start, beyond what it wavers from epoch to epoch."""

import numpy as np

_EPOCHS, _RECENT = 5, 3
# What counts as a fall: a share of the first loss, and deviations of the wavering.
_SHARE, _DEVIATIONS = 0.005, 2


def after_epoch(rows):
    losses = np.array([row["loss"] for row in rows if "loss" in row])
    if len(losses) < _EPOCHS:
        return None
    steps = np.diff(losses)
    # Of an epoch about the trend, from the median: the first epochs may fall steeply.
    wavering = 1.48 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2)
    fallen = losses[0] - losses[-_RECENT:].mean()
    if not fallen < max(_SHARE * losses[0], _DEVIATIONS * wavering):
        return None
    return (
        f"The loss has not fallen: {losses[0]:.4g} in the first epoch, and {losses[-1]:.4g} after "
        f"{len(losses)}. Unless the run began with trained weights, try another learning rate (--set "
        "learning_rate=...), a shorter warm-up (--set warmup_epochs=...), and look at its pictures."
    )

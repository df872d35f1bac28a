"""The loss has not fallen since the start."""

_EPOCHS, _LEAST = 5, 0.005


def after_epoch(rows):
    losses = [row["loss"] for row in rows if "loss" in row]
    if len(losses) < _EPOCHS or min(losses) < (1 - _LEAST) * losses[0]:
        return None
    return (
        f"The loss is as high as in the first epoch ({losses[0]:.4g}, and {losses[-1]:.4g} after "
        f"{len(losses)}). Unless the run began with trained weights, try another learning rate (--set "
        "learning_rate=...), a shorter warm-up (--set warmup_epochs=...), and look at its pictures."
    )

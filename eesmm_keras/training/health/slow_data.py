"""The device waits for images."""

_SHARE, _EPOCHS = 0.1, 2


def after_epoch(rows):
    waits = [row.get("data_wait", 0.0) for row in rows[-_EPOCHS:]]
    if len(waits) < _EPOCHS or min(waits) <= _SHARE:
        return None
    return (
        f"{waits[-1]:.0%} of the time goes into waiting for images (data_wait). Smaller image files, a "
        "faster disk or more processor cores would make the run faster: see eesmm docs data."
    )

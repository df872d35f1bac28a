"""Whether settings are chosen for the images and the machine, and what was chosen for a run there."""

from pathlib import Path

from eesmm_keras.training.run_config import read_config

_CHOSEN = (
    "method", "backbone", "image_size", "learning_rate", "beta_2", "epochs", "warmup_epochs",
    "automatic",
)  # fmt: skip
# What decides that everything else is chosen: who names an encoder or a recipe knows what is wanted.
_DECISIVE = ("backbone", "init_from")


def is_automatic(recipe, settings):
    """Whether `automatic.choose` has a say. recipe: as `settings.resolve` takes it, or None."""
    return not recipe and not any(getattr(settings, name) for name in _DECISIVE)


def recorded(settings):
    """What was chosen for the run in the settings' folder: {} where nothing was, None: no run."""
    path = Path(settings.out) / "config.yaml"
    if not settings.out or not path.is_file():
        return None
    there = read_config(path).settings
    if not there.get("automatic"):
        return {}
    chosen = {key: there[key] for key in _CHOSEN if key in there}
    return {**chosen, **(there.get("method_args") or {})}

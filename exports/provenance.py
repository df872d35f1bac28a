"""Where a model came from, as far as runs and sources say it: the facts of a model card."""

from dataclasses import dataclass, field
from pathlib import Path

from eesmm_keras.converters.recognition import open_weights
from eesmm_keras.converters.source import HUB, is_foreign
from eesmm_keras.errors import UserError
from eesmm_keras.training.run_config import read_config
from eesmm_keras.training.runs import Run

_LONGEST = 8  # runs, one from the other


@dataclass(frozen=True)
class Training:
    """One run.

    Attributes:
        task: "pretrain" or "finetune". method: of a pre-training, or the task of a fine-tuning.
        data: as the user named them; of a path, its last part alone.
        epochs, steps, batch_size: steps are those of an epoch. image_size, seed: as in config.yaml.
        backend: Keras' name of it.
        scores: {name: number} of the last epoch.
    """

    task: str
    method: str
    data: str
    epochs: int | None
    steps: int | None
    batch_size: int | None
    image_size: object
    seed: int | None
    backend: str
    scores: dict


@dataclass
class Provenance:
    """What is known of a model.

    Attributes:
        trainings: of `Training`, the earliest first; empty: not known.
        public: the public weights that it began with, as the user named them; None: none, or not
            known.
        licence: of these, in one line.
        complete: whether the chain of runs leads back to random or public weights.
    """

    trainings: list = field(default_factory=list)
    public: str | None = None
    licence: str | None = None
    complete: bool = False

    @property
    def base_model(self):
        """OWNER/NAME on the Hugging Face hub, or None."""
        if self.public is None or not self.public.startswith(HUB):
            return None
        return self.public.removeprefix(HUB).partition("@")[0]


def provenance_of(origin):
    """`Provenance` of a run, a `.keras` file in one, or public weights; what cannot be read is unknown.

    Args:
        origin: a path or place, or None.
    """
    found = Provenance()
    for _ in range(_LONGEST):
        if origin is None:
            return found
        if is_foreign(origin):
            return _add_public(found, str(origin))
        config, run = _config_of(origin)
        if config is None:
            return found
        found.trainings.insert(0, _training(config, run))
        origin = _next(found, config)
    return found


def _config_of(origin):
    path = Path(origin)
    run = Run(path if path.is_dir() else path.parent)
    try:
        if path.is_dir() or path.absolute() == run.model_path.absolute():
            return read_config(run.config_path), run
    except (UserError, OSError):
        pass
    return None, run


def _training(config, run):
    settings, derived = config.settings, config.derived
    data = settings.get("data")
    if "data" in config.paths or "/" in str(data):
        data = Path(str(data)).name
    try:
        metrics = run.last_metrics()
    except (UserError, OSError):
        metrics = {}
    return Training(
        task=config.task,
        method=str(settings.get("method") or settings.get("task_name") or "image_classifier"),
        data=str(data),
        epochs=settings.get("epochs"),
        steps=derived.get("steps_per_epoch"),
        batch_size=derived.get("batch_size"),
        image_size=derived.get("image_size"),
        seed=settings.get("seed"),
        backend=config.backend,
        scores=_scores(metrics),
    )


def _scores(metrics):
    """What was measured beside the training loss: validation and probes."""
    kept = {
        name: text
        for name, text in metrics.items()
        if name and name.startswith(("val_", "probe", "knn", "linear")) and text
    }
    try:
        return {name: float(text) for name, text in kept.items()}
    except (TypeError, ValueError):
        return {}


def _next(found, config):
    """What the run began with; None where the chain ends."""
    name = "weights" if config.task == "finetune" else "init_from"
    began = config.settings.get(name)
    if began in (None, "none"):
        found.complete = True
        return None
    if is_foreign(began):
        facts = config.derived.get("weights")
        if isinstance(facts, dict) and isinstance(facts.get("licence"), str):
            found.public, found.licence, found.complete = str(began), facts["licence"], True
            return None
    return config.paths.get(name, began)


def _add_public(found, origin):
    found.public, found.complete = origin, True
    try:
        weights = open_weights(origin)
    except (UserError, OSError):
        return found
    note = weights.converter.note
    found.licence = weights.source.licence or ("unknown" + (f" ({note})" if note else ""))
    return found

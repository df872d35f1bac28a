"""Runs in experiment trackers: the trackers' own Keras callbacks, one tracked run for each run."""

import contextlib
import importlib.util
import json

from eesmm_keras.errors import UserError
from eesmm_keras.names import shortened
from eesmm_keras.whole_files import write_atomically

_PROJECT = "eesmm"
# What each needs installed. TensorBoard's events are in every run, see `callbacks.run_callbacks`.
_MODULES = {"mlflow": ("mlflow", "pandas"), "wandb": ("wandb",)}


@contextlib.contextmanager
def tracked(settings, folder, active=True):
    """While this context is open, the tracker that the settings name knows of the run.

    The tracked run's number is kept in the run's folder, so that a run that goes on is one there too.
    Where the tracker's server is (or its folder) follows from its own environment variables, such as
    MLFLOW_TRACKING_URI and WANDB_MODE.

    Args:
        settings: of the run. folder: `Run`, open.
        active: False: of a host that is not the chief, which tells nobody.

    Yields:
        list of Keras callbacks.

    Raises:
        UserError: the tracker's library is not there, or it cannot be reached.
    """
    begin = {"mlflow": _mlflow, "wandb": _wandb}.get(settings.track)
    if begin is None or not active:
        yield []
        return
    known = _read(folder.tracking_path).get(settings.track)
    facts = {key: value for key, value in settings.model_dump().items() if value is not None}
    with contextlib.ExitStack() as stack:
        try:
            number, callbacks = begin(stack, folder, known, facts)
        except Exception as error:  # theirs are of many kinds
            raise UserError(
                f"--track {settings.track}: {shortened(error, 300)}. Give the same command without it, "
                "or mend that, to go on."
            ) from error
        _keep(folder.tracking_path, settings.track, number)
        yield callbacks


def check_tracker(name):
    """Raise a UserError where the library of a tracker is not installed.

    Args:
        name: of the setting `track`, or None.
    """
    for module in _MODULES.get(name, ()):
        if importlib.util.find_spec(module) is None:
            raise UserError(
                f"--track {name} needs {module}, which is not installed: pip install "
                f"'eesmm-keras[{name}]'"
            )


def _mlflow(stack, folder, known, facts):
    import mlflow
    import mlflow.keras

    mlflow.set_experiment(_PROJECT)
    run = mlflow.start_run(run_id=known, run_name=folder.path.name)
    stack.push(_end_mlflow)
    if known is None:
        mlflow.log_params({f"setting_{key}": value for key, value in facts.items()})
    return run.info.run_id, [mlflow.keras.MlflowCallback()]


def _end_mlflow(kind, error, traceback):
    import mlflow

    mlflow.flush_async_logging()
    mlflow.end_run("FINISHED" if error is None else "KILLED")


def _wandb(stack, folder, known, facts):
    import wandb
    from wandb.integration.keras import WandbMetricsLogger

    run = wandb.init(
        project=_PROJECT, name=folder.path.name, id=known, resume="allow", config=facts,
        dir=str(folder.path),
    )  # fmt: skip
    stack.push(lambda kind, error, traceback: run.finish(0 if error is None else 1))
    return run.id, [WandbMetricsLogger()]


def _read(path):
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(path, name, number):
    content = json.dumps({**_read(path), name: number}).encode()
    write_atomically(path, lambda file: file.write(content))

"""What a run leaves that was stopped at once, as a person reads it."""

from eesmm_keras.training.runs import Run
from eesmm_keras.training.state_files import step_of


def left_behind(out):
    """One line: what is in the folder of a run that was stopped, and what the same command does then.

    Args:
        out: the run's folder; it need not be there.
    """
    run = Run(out)
    if run.model_path.is_file():
        return f"{run.model_path} is there: the run had finished."
    if not run.exists:
        return f"Nothing is in {out} yet: the same command begins anew."
    there = run.checkpoints.iterdir() if run.checkpoints.is_dir() else ()
    steps = [step for step in map(step_of, there) if step is not None]
    if not steps:
        return f"{out} holds the settings, and no checkpoint yet: the same command begins anew."
    if max(steps) == 0:
        return (
            f"{out} holds the model as it was before its first step: the same command begins anew."
        )
    return (
        f"The last checkpoint in {run.checkpoints} is of step {max(steps)}, and what came after it is "
        "lost: the same command goes on from there."
    )

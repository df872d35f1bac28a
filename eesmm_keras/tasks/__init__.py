"""Tasks that an encoder is fine-tuned for, found by file name; their contract is `tasks.task.Task`."""

from eesmm_keras.registry import Family

TASKS = Family(
    "tasks",
    kind="task",
    package="eesmm_keras.tasks",
    contract="eesmm_keras.tasks.task:Task",
    shared=("box_losses", "box_targets", "pixel_losses", "task"),
)

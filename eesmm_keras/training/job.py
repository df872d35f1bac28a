"""What a run trains: the contract of pre-training and fine-tuning, and the way that both go."""

import keras

from eesmm_keras.training import loop
from eesmm_keras.training.bad_images import bad_images_listed
from eesmm_keras.training.batch_plan import BatchPlan
from eesmm_keras.training.devices import use_devices
from eesmm_keras.training.run_config import asked_config
from eesmm_keras.training.runs import Run
from eesmm_keras.training.settings import as_dict
from eesmm_keras.training.tracking import check_tracker


class Job:
    """One training. A subclass tells what is trained, on what, and what is watched.

    Its constructor opens the data and raises whatever makes the run impossible, before anything is
    built; `build` comes next, then `run` calls the others.

    Args:
        settings: of its kind; they are never changed.
        devices: `Devices`.
        begun_with: dict of derived numbers of the run that goes on, or None; see `BatchPlan.make`.
        say: takes lines for the screen.

    Attributes:
        kind: "pretrain" or "finetune", the command.
        sources: the `ImageSource`s that are read while training.
        plan: `BatchPlan`.
        origin: `Report` of the weights that the model was started from by `build`, or None.
    """

    kind = ""
    sources = ()
    origin = None
    plan: BatchPlan

    def __init__(self, settings, devices, begun_with=None, say=print):
        self.settings, self.devices, self.begun_with, self.say = settings, devices, begun_with, say

    def build(self):
        """The model: `GuardedModel`, compiled with a `LayerDecayAdamW`; all its variables are made.

        Raises:
            UserError: the settings describe no model.
        """
        raise NotImplementedError

    def batches(self, start):
        """`tf.data.Dataset` of this host's part of batch number `start` and all later ones."""
        raise NotImplementedError

    def validation(self):
        """What `fit` takes as `validation_data`, or None."""
        return None

    def members(self, step):
        """Dict that tells which images a step saw, in plain types."""
        raise NotImplementedError

    def callbacks(self, position, folder):
        """Keras callbacks of the run, in their order.

        Args:
            position: `Position`. folder: `Run`.
        """
        raise NotImplementedError

    def derived(self):
        """What followed from settings, data and devices; config.yaml holds it. After `build`."""
        plan = self.plan
        numbers = {
            "batch_size": plan.batch_size, "steps_per_epoch": plan.steps, "images": plan.images,
        }  # fmt: skip
        return numbers if self.origin is None else {**numbers, "weights": self.origin.facts()}

    def finished(self, model):
        """What model.keras is to hold, of the trained model."""
        return model

    def introduction(self):
        """Lines for the screen, before the first step."""
        line = self.plan.in_words(self.settings.batch_size)
        origin = self.origin and self.origin.summary()
        return [text for text in (self.devices.note, line, origin) if text]


def launch(job_class, settings, say, finish=lambda job, model: None):
    """Set up the devices, then begin a run or go on with it.

    Args:
        job_class: subclass of `Job`. settings: of its kind. say: takes lines for the screen.
        finish: function of the job and the trained model (None: the run was finished before), called
            while the devices are still in use.

    Returns:
        `(Run, what finish gave)`.

    Raises:
        UserError: anything about the settings, the data or the folder that makes the run impossible.
    """
    check_tracker(settings.track)
    keras.utils.set_random_seed(settings.seed)
    asked = asked_config(job_class.kind, as_dict(settings), as_dict(type(settings)()))
    with use_devices(settings) as devices:
        begun = Run(settings.out).begun_with(asked)
        job = job_class(settings, devices, begun and begun.derived, say)
        folder = Run(devices.own_out)
        return folder, finish(job, run(job, asked, folder, devices, say))


def run(job, asked, folder, devices, say=print):
    """Train a job to its end, from the beginning or from the folder's last checkpoint.

    Args:
        job: `Job`. asked: `RunConfig` of the command. folder: `Run`. devices: `Devices`.
        say: takes lines for the screen.

    Returns:
        the trained model, or None: the run was finished before.

    Raises:
        Interrupted, UserError: see `loop.train`.
    """
    with devices.scope():
        model = job.build()
    # It tells if nothing can be read, before the folder is made.
    job.batches(0)
    with folder.opened(asked, job.derived(), say) as unfinished:
        # Other hosts than the chief write elsewhere, and stop where it does.
        if not unfinished or Run(devices.out or folder.path).model_path.is_file():
            say(f"The run in {folder.path} is finished: nothing to do.")
            return None
        if job.origin:
            folder.write_text("weights.md", job.origin.table())
        for line in job.introduction():
            say(line)
        known_bad = _bad_count(job)
        with bad_images_listed(folder, *job.sources):
            loop.train(model, job, folder, devices, say)
        with devices.scope():
            model = job.finished(model)
        folder.finish(model)
    new_bad = _bad_count(job) - known_bad
    if new_bad:
        say(f"Skipped {new_bad} more images that cannot be read: see {folder.bad_images_path}")
    return model


def _bad_count(job):
    return sum(len(source.bad) for source in job.sources)

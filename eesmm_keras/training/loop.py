"""Training that one can leave alone: it goes on where it was stopped, and takes no bad step."""

import contextlib
import json
import signal
import threading
import time

import keras

from eesmm_keras.data.waiting import ReadyClock
from eesmm_keras.errors import Interrupted, UserError
from eesmm_keras.training.callbacks import DataWait
from eesmm_keras.training.checkpoints import Checkpoints, restore
from eesmm_keras.training.optimizer import UNDECAYED_BEFORE
from eesmm_keras.training.runs import Run
from eesmm_keras.training.settings import parse_interval


class Position(keras.callbacks.Callback):
    """Where a run is, over all its epochs and interruptions. It must be the first callback.

    Args:
        steps: batches of an epoch.

    Attributes:
        step: batches done since the beginning of the run.
        resumed: values of a checkpoint whose metrics the next epoch begins with, or None.
    """

    def __init__(self, steps):
        super().__init__()
        self.steps, self.step, self.resumed = steps, 0, None

    @property
    def in_epoch(self):
        """Batches done of the present epoch; 0 after its last one."""
        return self.step % self.steps

    def on_epoch_begin(self, epoch, logs=None):
        if self.resumed is not None:
            restore(self.model, self.resumed, groups=("metrics",))
            self.resumed = None

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1


class Saver(keras.callbacks.Callback):
    """Writes checkpoints, and stops the run when it was told to. It must be the last callback.

    After the last batch of an epoch it waits for what the epoch's end brings; in a row of skipped
    steps, for a good one: a checkpoint is there to go back to.

    Args:
        position: `Position`. checkpoints: `Checkpoints`.
        every: `("steps" | "minutes" | "epochs", number)`.
        stop: `StopSignals`. guard: `Guard`. facts: dict that every checkpoint holds.
    """

    def __init__(self, position, checkpoints, every, stop, guard, facts):
        super().__init__()
        self.position, self.checkpoints, self.stop = position, checkpoints, stop
        self.guard = guard
        self.facts = facts
        self.unit, self.amount = every
        self._saved_at = time.monotonic()

    def save(self):
        self.checkpoints.save(self.position.step, self.model, self.facts)
        self._saved_at = time.monotonic()

    def _due(self):
        if self.unit == "minutes":
            return time.monotonic() - self._saved_at >= 60 * self.amount
        interval = self.amount * (self.position.steps if self.unit == "epochs" else 1)
        return self.position.step % max(1, round(interval)) == 0

    def on_train_batch_end(self, batch, logs=None):
        if self.position.in_epoch:
            self._save_or_stop()

    def on_epoch_end(self, epoch, logs=None):
        self._save_or_stop()

    def _save_or_stop(self):
        received = self.stop.received
        if received or (self._due() and not self.guard.in_bad_row()):
            self.save()
        if received:
            raise Interrupted(
                f"Stopped by {received} after step {self.position.step}; everything is "
                f"in {self.checkpoints.folder}. The same command again goes on from there."
            )


class StopSignals:
    """While this context is open, SIGTERM and SIGINT are noted in `received`, not obeyed at once.

    A second SIGINT is obeyed. Outside of the main thread, signals stay as they are.

    Args:
        active: False: leave signals as they are.
    """

    def __init__(self, active=True):
        self.received, self.active = "", active
        self._previous = {}

    def __enter__(self):
        if self.active and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def _note(self, number, frame):
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)


class _GoBack(Exception):
    """Too many steps in a row were skipped."""


class Guard(keras.callbacks.Callback):
    """Writes nan_step_N.json for every skipped step, and gives up after too many in a row.

    The counter of a step is read while the next one runs, so that nothing waits for it.

    Args:
        position: `Position`. folder: where the files go. limit: of steps in a row.
        describe: function from a step to a dict that tells which images it saw.

    Attributes:
        known: how many steps have been skipped so far.
    """

    def __init__(self, position, folder, limit, describe):
        super().__init__()
        self.position, self.folder, self.limit = position, folder, limit
        self.describe, self.known = describe, 0

    def on_train_begin(self, logs=None):
        self._row, self._pending = 0, None

    def on_train_batch_end(self, batch, logs=None):
        pending, self._pending = self._pending, (self.position.step, (logs or {}).get("skipped"))
        self._look(pending)

    def on_epoch_end(self, epoch, logs=None):
        self.in_bad_row()

    def in_bad_row(self):
        """Whether the step that has just ended was skipped."""
        pending, self._pending = self._pending, None
        self._look(pending)
        return self._row > 0

    def _look(self, pending):
        if pending is None or pending[1] is None:
            return
        step, count = pending[0], int(pending[1])
        self._row = self._row + 1 if count > self.known else 0
        self.known = count
        if self._row:
            facts = {"step": step, "skipped_so_far": count, **self.describe(step - 1)}
            text = json.dumps(facts, indent=1)
            with contextlib.suppress(OSError):  # a report is not worth the run
                (self.folder / f"nan_step_{step}.json").write_text(text)
        if self._row >= self.limit:
            raise _GoBack


def train(
    model, run, settings, steps, make_dataset, callbacks, describe, images, devices, say=print,
    **fit_options,
):  # fmt: skip
    """`model.fit` over all epochs, with checkpoints, from the last one if there is one.

    Args:
        model: built and compiled with a `LayerDecayAdamW`, its metrics built too.
        run: `Run`. settings: `PretrainSettings` or `FinetuneSettings`.
        steps: batches of an epoch.
        make_dataset: function from the first batch's number to a data set of it and all later ones.
        callbacks: function from a `Position` to a list of Keras callbacks.
        describe: function from a step to a dict that tells which images it saw.
        images: number of images trained on. devices: `Devices`.
        say: takes lines for the screen.
        **fit_options: of `keras.Model.fit`.

    Raises:
        Interrupted: a signal came; a checkpoint was written.
        UserError: steps are skipped again and again, or the run's folder cannot be written or read.
    """
    # Every host reads the first one's, who alone writes.
    folder = Run(devices.out).checkpoints
    checkpoints = Checkpoints(folder, settings.checkpoint_keep, writes=devices.is_chief)
    position = Position(steps)
    guard = Guard(position, run.path, settings.max_bad_steps, describe)
    every = parse_interval(settings.checkpoint_every)
    if devices.hosts > 1 and every[0] == "minutes":
        # Hosts must write at the same step, and their clocks differ.
        every = "epochs", 1

    def take_up():
        """Put everything where the last checkpoint is, if there is one."""
        arrays, facts = checkpoints.load(say) or (None, {"step": 0, "images": images})
        if arrays is not None:
            restore(model, arrays)
            _adamw(model).undecayed = facts.get("undecayed", UNDECAYED_BEFORE)
        position.step = facts["step"]
        devices.check_agreement(position.step)
        position.resumed = arrays if position.in_epoch else None
        guard.known = int(keras.ops.convert_to_numpy(model.skipped_steps))
        run.forget_after(position.step // steps)
        if facts["images"] != images:
            say(
                f"There were {facts['images']} images and now there are {images}: their order is "
                "another one from here on."
            )

    # What stops one of several hosts stops them all, at once: there is no step at which they agree.
    with StopSignals(devices.hosts == 1) as stop:
        take_up()
        facts = {"images": images, "undecayed": _adamw(model).undecayed}
        saver = Saver(position, checkpoints, every, stop, guard, facts)
        saver.set_model(model)
        if position.step == 0:
            # The way back, and proof before the first step that there is room.
            saver.save()
        else:
            say(f"Going on from step {position.step} of {settings.epochs * steps}.")
        options = {"shuffle": False, "verbose": 0, **fit_options}
        clock = ReadyClock()
        options["callbacks"] = [position, DataWait(clock), *callbacks(position), guard, saver]

        def timed_dataset(start):
            return devices.feed(clock.watch(make_dataset(start)))

        def fit():
            _fit(model, position, settings.epochs, timed_dataset, options)

        try:
            _fit_with_second_chance(fit, take_up, model, position, guard, run, say)
        except OSError as error:
            raise UserError(
                f"Cannot write to {run.path}: {error}. Make room (or restore the folder) and give "
                "the same command again: it goes on from the last checkpoint, if that is still "
                "there."
            ) from error


def _fit_with_second_chance(fit, take_up, model, position, guard, run, say):
    """`fit`, and after too many skipped steps in a row once more, more carefully."""
    try:
        fit()
        return
    except _GoBack:
        take_up()
    _adamw(model).rate_factor.assign(0.5)
    say(
        f"{guard.limit} steps in a row gave losses or gradients that are not finite: back to step "
        f"{position.step}, with half the learning rate."
    )
    try:
        fit()
    except _GoBack:
        raise UserError(
            f"Stopped: after going back and halving the learning rate, {guard.limit} steps in a "
            f"row again gave losses or gradients that are not finite. {run.path}/nan_step_*.json "
            "name their images. Try a lower learning rate (--set learning_rate=...), gradient "
            "clipping (--set clip_norm=1) or float32 in a new run; or look at the images."
        ) from None


def _adamw(model):
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def _fit(model, position, epochs, make_dataset, options):
    """`fit` from the position to the end: first what is left of an epoch, then whole ones."""
    steps = position.steps
    epoch, done = divmod(position.step, steps)
    parts = [(epoch, epoch + 1, steps - done)] if done else []
    if epoch + len(parts) < epochs:
        parts.append((epoch + len(parts), epochs, steps))
    if not parts:
        # Killed after its last step: the end of `fit` is all that is missing.
        _adamw(model).finalize_variable_values(model.trainable_variables)
    for first, last, count in parts:
        # Keras puts averaged weights into the model at the end of every `fit`.
        _adamw(model).hold_average = last < epochs
        model.fit(
            make_dataset(position.step),
            initial_epoch=first,
            epochs=last,
            steps_per_epoch=count,
            **options,
        )

"""Training that one can leave alone: it goes on where it was stopped, and takes no bad step."""

import time

import keras

from eesmm_keras.data.waiting import ReadyClock
from eesmm_keras.errors import Interrupted, UserError
from eesmm_keras.training.callbacks import Callbacks, DataWait
from eesmm_keras.training.checkpoints import Checkpoints, restore
from eesmm_keras.training.guard import Guard, TooManyBadStepsError
from eesmm_keras.training.optimizer import UNDECAYED_BEFORE
from eesmm_keras.training.position import Position
from eesmm_keras.training.runs import Run
from eesmm_keras.training.settings import parse_interval
from eesmm_keras.training.stop_signals import StopSignals
from eesmm_keras.training.tracking import tracked

# Steps after which hosts look whether any of them was told to stop: they wait for each other then.
_HOSTS_LOOK_EVERY = 8


class Saver(keras.callbacks.Callback):
    """Writes checkpoints, and stops the run when it was told to. It must be the last callback.

    At an epoch's last batch, saving is deferred to the epoch's end, so that the checkpoint holds what
    other callbacks do there. Periodic saves pause while steps are being skipped: there must be a
    good one to go back to.

    Args:
        position: `Position`. checkpoints: `Checkpoints`.
        every: `("steps" | "minutes" | "epochs", number)`.
        stop: `StopSignals`. devices: `Devices`. guard: `Guard`.
        facts: dict that every checkpoint holds.
    """

    def __init__(self, position, checkpoints, every, stop, devices, guard, facts):
        super().__init__()
        self.devices = devices
        self.position, self.checkpoints, self.stop = position, checkpoints, stop
        self.guard, self.facts = guard, facts
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

    def _told_to_stop(self):
        """What stopped the run, in words; empty: go on. Hosts must stop at the same step."""
        received = self.stop.received
        if self.devices.hosts == 1:
            return received
        if self.position.in_epoch % _HOSTS_LOOK_EVERY or not self.devices.any_host(received):
            return ""
        return received or "a signal to another host"

    def _save_or_stop(self):
        received = self._told_to_stop()
        if received:
            self.save()
            raise Interrupted(
                f"Stopped by {received} after step {self.position.step}; everything is "
                f"in {self.checkpoints.folder}. The same command again goes on from there."
            )
        if self._due():
            self.guard.catch_up()
            if not self.guard.in_bad_row:
                self.save()


def train(model, job, folder, devices, say=print):
    """`model.fit` over all epochs, with checkpoints, from the last one if there is one.

    Args:
        model: what `job.build` gave.
        job: `Job`. folder: `Run`, open. devices: `Devices`.
        say: takes lines for the screen.

    Raises:
        Interrupted: a signal came; a checkpoint was written.
        UserError: steps are skipped again and again, or the run's folder cannot be written or read.
    """
    with StopSignals(say) as stop:
        try:
            with tracked(job.settings, folder, devices.is_chief) as trackers:
                _Training(model, job, folder, devices, stop, say).to_the_end(trackers)
        except OSError as error:
            raise UserError(
                f"Cannot write to {folder.path}: {error}. Make room (or restore the folder) and give "
                "the same command again: it goes on from the last checkpoint, if that is still "
                "there."
            ) from error


class _Training:
    """One command's part of a run: the arguments of `train`, and what all of its `fit` share."""

    def __init__(self, model, job, folder, devices, stop, say):
        self.model, self.job, self.folder, self.devices = model, job, folder, devices
        self.say, self.validation = say, job.validation()
        settings, plan = job.settings, job.plan
        self.epochs = plan.epochs
        # All hosts read checkpoints from the chief's folder; only the chief writes.
        self.checkpoints = Checkpoints(
            Run(devices.out or folder.path).checkpoints,
            settings.checkpoint_keep,
            writes=devices.is_chief,
        )
        self.position = Position(plan.steps)
        self.guard = Guard(self.position, folder.path, settings.max_bad_steps, job.members)
        self.stop = stop

    def to_the_end(self, trackers=()):
        self.restore_latest()
        saver = self.make_saver()
        if self.position.step == 0:
            # Initial checkpoint: a rollback target, and an early check that the disk has room.
            saver.save()
        else:
            total = self.job.plan.total_steps
            self.say(f"Going on from step {self.position.step} of {total}.")
        clock = ReadyClock()
        callbacks = [
            self.position,
            DataWait(clock),
            *self.job.callbacks(self.position, self.folder),
            *trackers,
            self.guard,
            saver,
        ]
        try:
            self.fit(clock, callbacks)
        except TooManyBadStepsError:
            self.restore_latest()
            self.fit_carefully(clock, callbacks)

    def make_saver(self):
        every = parse_interval(self.job.settings.checkpoint_every)
        if self.devices.hosts > 1 and every[0] == "minutes":
            # Hosts must write at the same step, and their clocks differ.
            every = "epochs", 1
        facts = {"images": self.job.plan.images, "undecayed": _adamw(self.model).undecayed}
        saver = Saver(
            self.position, self.checkpoints, every, self.stop, self.devices, self.guard, facts
        )
        saver.set_model(self.model)
        return saver

    def restore_latest(self):
        """Put everything where the last checkpoint is, if there is one."""
        images = self.job.plan.images
        arrays, facts = self.checkpoints.load(self.model, self.say) or (None, {"step": 0})
        if arrays is not None:
            restore(self.model, arrays)
            _adamw(self.model).undecayed = facts.get("undecayed", UNDECAYED_BEFORE)
        self.devices.check_agreement(facts["step"])
        self.position.move_to(facts["step"], arrays)
        self.guard.known = int(keras.ops.convert_to_numpy(self.model.skipped_steps))
        self.folder.forget_after(self.position.epoch)
        if facts.get("images", images) != images:
            self.say(
                f"Images before: {facts['images']}, and now: {images}: their order is "
                "another one from here on. Epochs stay as long as they were, "
                f"{self.position.steps} steps."
            )

    def fit(self, clock, callbacks):
        """From the position to the end: first what is left of an epoch, then whole ones."""
        position, optimizer = self.position, _adamw(self.model)
        done = position.in_epoch
        parts = [(position.epoch, position.epoch + 1, position.steps - done)] if done else []
        first_whole = position.epoch + len(parts)
        if first_whole < self.epochs:
            parts.append((first_whole, self.epochs, position.steps))
        if not parts:
            # Killed after its last step: the end of `fit` is all that is missing.
            optimizer.finalize_variable_values(self.model.trainable_variables)
        for first, last, count in parts:
            # Keras swaps EMA weights in after every fit; defer until the last.
            optimizer.hold_average = last < self.epochs
            self.model.fit(
                self.devices.feed(clock.watch(self.job.batches(position.step))),
                initial_epoch=first,
                epochs=last,
                steps_per_epoch=count,
                validation_data=self.validation,
                callbacks=Callbacks(callbacks, self.model, epochs=last, steps=count),
                shuffle=False,
                verbose=0,
            )

    def fit_carefully(self, clock, callbacks):
        """`fit` after too many skipped steps in a row, with half the learning rate."""
        limit = self.guard.limit
        _adamw(self.model).rate_factor.assign(0.5)
        self.say(
            f"{limit} steps in a row gave losses or gradients that are not finite: back to step "
            f"{self.position.step}, with half the learning rate."
        )
        try:
            self.fit(clock, callbacks)
        except TooManyBadStepsError:
            raise UserError(
                f"Stopped: after going back and halving the learning rate, {limit} steps in a row "
                f"again gave losses or gradients that are not finite. {self.folder.path}/nan_step_*"
                ".json name their images. Try a lower learning rate (--set learning_rate=...), "
                "gradient clipping (--set clip_norm=1) or float32 in a new run; or look at the images."
            ) from None


def _adamw(model):
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)

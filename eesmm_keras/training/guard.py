"""Steps that are not finite: noted, and too many in a row end the attempt."""

import contextlib
import json

import keras

# Steps whose counters are read together.
LOOK_EVERY = 16


class TooManyBadStepsError(Exception):
    """More steps in a row were skipped than a run puts up with."""


class Guard(keras.callbacks.Callback):
    """Writes nan_step_N.json for every skipped step, and gives up after too many in a row.

    The counters of some steps are read together: a GPU stops for that. Meanwhile skipped steps change
    nothing, so that no harm is done until then.

    Args:
        position: `Position`. folder: where the files go. limit: of steps in a row.
        describe: function from a step to a dict that tells which images it saw.

    Attributes:
        known: how many steps have been skipped so far.
        in_bad_row: whether the last step that was looked at was skipped.
    """

    def __init__(self, position, folder, limit, describe):
        super().__init__()
        self.position, self.folder, self.limit = position, folder, limit
        self.describe, self.known = describe, 0
        self._row, self._pending = 0, []

    @property
    def in_bad_row(self):
        return self._row > 0

    def on_train_begin(self, logs=None):
        self._row, self._pending = 0, []

    def on_train_batch_end(self, batch, logs=None):
        self._pending.append((self.position.step, (logs or {}).get("skipped")))
        if len(self._pending) >= min(self.limit, LOOK_EVERY):
            self.catch_up()

    def on_epoch_end(self, epoch, logs=None):
        self.catch_up()

    def catch_up(self):
        """Look at all steps that have ended, and wait for them.

        Raises:
            TooManyBadStepsError: they were too many.
        """
        pending, self._pending = self._pending, []
        for step, count in pending:
            if count is not None:
                self._look(step, int(count))

    def _look(self, step, count):
        self._row = self._row + 1 if count > self.known else 0
        self.known = count
        if self._row:
            facts = {"step": step, "skipped_so_far": count, **self.describe(step - 1)}
            text = json.dumps(facts, indent=1)
            with contextlib.suppress(OSError):  # a report is not worth the run
                (self.folder / f"nan_step_{step}.json").write_text(text)
        if self._row >= self.limit:
            raise TooManyBadStepsError

"""Steps that are not finite: noted, and too many in a row end the attempt."""

import contextlib
import json

import keras


class TooManyBadStepsError(Exception):
    """More steps in a row were skipped than a run puts up with."""


class Guard(keras.callbacks.Callback):
    """Writes nan_step_N.json for every skipped step, and gives up after too many in a row.

    The counter of a step is read while the next one runs, so that nothing waits for it.

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
        self._row, self._pending = 0, None

    @property
    def in_bad_row(self):
        return self._row > 0

    def on_train_begin(self, logs=None):
        self._row, self._pending = 0, None

    def on_train_batch_end(self, batch, logs=None):
        pending, self._pending = self._pending, (self.position.step, (logs or {}).get("skipped"))
        self._look(pending)

    def on_epoch_end(self, epoch, logs=None):
        self.catch_up()

    def catch_up(self):
        """Look at the step that has just ended too, and wait for it.

        Raises:
            TooManyBadStepsError: it was one too many.
        """
        pending, self._pending = self._pending, None
        self._look(pending)

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
            raise TooManyBadStepsError

"""Where a run is, over all its epochs and interruptions."""

import keras

from eesmm_keras.training.checkpoints import restore


class Position(keras.callbacks.Callback):
    """Counts steps. It must be the first callback, so that the others read the step that has ended.

    Args:
        steps: batches per epoch.

    Attributes:
        step: batches done since the beginning of the run; only this class and `move_to` change it.
    """

    def __init__(self, steps):
        super().__init__()
        self.steps, self.step = steps, 0
        self._resumed = None

    @property
    def in_epoch(self):
        """Batches done of the present epoch; 0 after its last one."""
        return self.step % self.steps

    @property
    def epoch(self):
        """Whole epochs that are done."""
        return self.step // self.steps

    def move_to(self, step, arrays=None):
        """Go to where a checkpoint was written.

        Args:
            step: batches done. arrays: of the checkpoint. In the middle of an epoch, the next `fit`
                goes on with its metrics, which Keras would begin anew.
        """
        self.step = step
        self._resumed = arrays if self.in_epoch else None

    def on_epoch_begin(self, epoch, logs=None):
        if self._resumed is not None:
            restore(self.model, self._resumed, groups=("metrics",))
            self._resumed = None

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1

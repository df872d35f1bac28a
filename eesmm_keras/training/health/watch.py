"""The callback that looks for signs."""

import importlib

import keras

from eesmm_keras.training.health import SIGNS


class Health(keras.callbacks.Callback):
    """Tells each sign once in a run, however often the run is stopped; RUN/warnings.txt keeps them.

    It reads metrics.csv, so it must stand behind the callback that writes it.

    Args:
        run: `Run`. images: some of its images. position: `Position`. say: takes a line.
    """

    def __init__(self, run, images, position, say):
        super().__init__()
        self.run, self.images, self.position, self.say = run, images, position, say
        self.signs = {name: importlib.import_module(f"{__package__}.{name}") for name in SIGNS}

    def on_train_begin(self, logs=None):
        if self.position.step == 0:
            self._look("at_start", "at the start", self.model, self.images)

    def on_epoch_end(self, epoch, logs=None):
        rows = self.run.metrics()
        if rows:
            self._look("after_epoch", f"after epoch {epoch + 1}", rows)

    def _look(self, moment, when, *known):
        told = {name for name, _, _ in self.run.warnings()}
        for name in [name for name in self.signs if name not in told]:
            text = getattr(self.signs[name], moment, lambda *known: None)(*known)
            if text:
                self.run.add_warning(name, when, text)
                self.say(f"Warning: {text}")

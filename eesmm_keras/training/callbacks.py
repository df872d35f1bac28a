"""What a run shows and writes while it trains."""

import csv
import math
import sys
import time

import keras

from eesmm_keras.pictures import save_grid

# What is on the screen only where it is worth a look; metrics.csv has everything.
_SHOWN_FROM = {
    "images_per_second": math.inf, "learning_rate": math.inf, "skipped": 1, "data_wait": 0.05,
}  # fmt: skip


class Progress(keras.callbacks.Callback):
    """One line per epoch: images per second, time left, losses. Live on a terminal.

    It also puts `images_per_second` and `learning_rate` into the epoch's logs, so it must stand
    before the callbacks that write them.

    Args:
        position: `Position` of the run. batch_size: images per step. epochs: of the whole run.
        stream: where to write.
    """

    def __init__(self, position, batch_size, epochs, stream=None):
        super().__init__()
        self.position, self.batch_size, self.epochs = position, batch_size, epochs
        self.stream = stream or sys.stdout
        self._seen = 0

    def on_train_begin(self, logs=None):
        self._begin = None
        self.stream.write("Building the first step, which can take a minute or more.\n")
        self.stream.flush()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._epoch_begin, self._shown = epoch, time.monotonic(), 0.0

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        if self._begin is None:
            # The first step compiles; it would spoil the rate.
            self._begin = self._epoch_begin = now
            return
        self._seen += 1
        if self.stream.isatty() and now - self._shown > 0.5:
            self._shown = now
            done = (self.position.in_epoch or self.position.steps) / self.position.steps
            bar = "=" * int(20 * done)
            self.stream.write(f"\r{self._line(now, logs)} [{bar:<20}] {done:4.0%} \x1b[K")
            self.stream.flush()

    def on_epoch_end(self, epoch, logs=None):
        now = time.monotonic()
        rate = self._rate(now)
        if logs is not None:
            logs["images_per_second"] = rate
            logs["learning_rate"] = learning_rate(self.model.optimizer)
        start = "\r" if self.stream.isatty() else ""
        end = "\x1b[K\n" if start else "\n"
        self.stream.write(f"{start}{self._line(now, logs)}{end}")
        self.stream.flush()

    def _rate(self, now):
        elapsed = now - self._begin if self._begin else 0.0
        return self._seen * self.batch_size / elapsed if elapsed > 0 else 0.0

    def _line(self, now, logs):
        rate = self._rate(now)
        left = (self.epochs * self.position.steps - self.position.step) * self.batch_size
        eta = time.strftime("%H:%M:%S", time.gmtime(left / rate)) if rate else "?"
        parts = [
            f"{name} {float(value):.4g}"
            for name, value in (logs or {}).items()
            if float(value) >= _SHOWN_FROM.get(name, -math.inf)
        ]
        head = f"epoch {self._epoch + 1}/{self.epochs}  {rate:.0f} images/s  ETA {eta}"
        return "  ".join([head, *parts])


def learning_rate(optimizer):
    """The rate of the last step, as a float."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    rate = optimizer.learning_rate * getattr(optimizer, "rate_factor", 1.0)
    return float(keras.ops.convert_to_numpy(rate))


class DataWait(keras.callbacks.Callback):
    """`data_wait` in an epoch's logs: the share of its time, 0..1, in which a step waited for data.

    A step waits from the end of the one before it until its batch is ready. The first step of all
    is left out: it compiles, and the data set starts.

    Args:
        clock: `data.waiting.ReadyClock` that watches the data set of `fit`.
    """

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def on_train_begin(self, logs=None):
        self._step = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._begin = self._free = time.monotonic()
        self._waited = 0.0

    def on_train_batch_end(self, batch, logs=None):
        now, ready = time.monotonic(), self.clock.take(self._step)
        if self._step == 0:
            self._begin = now
        elif ready is not None:
            self._waited += max(0.0, min(ready, now) - self._free)
        self._free, self._step = now, self._step + 1

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            elapsed = self._free - self._begin
            logs["data_wait"] = self._waited / elapsed if elapsed > 0 else 0.0


class Pictures(keras.callbacks.Callback):
    """Reconstructions of the same images under the same mask: at the start, every N epochs, the end.

    Args:
        images: `(B, H, W, C)` pixel values.
        folder: where `epoch_0000.png` and so on go.
        every: epochs between two pictures.
        position: `Position` of the run. epochs: of the whole run.
    """

    def __init__(self, images, folder, every, position, epochs):
        super().__init__()
        self.images, self.folder, self.every = images, folder, every
        self.position, self.epochs = position, epochs

    def _save(self, epoch):
        save_grid(self.model.reconstruct(self.images), self.folder / f"epoch_{epoch:04d}.png")

    def on_train_begin(self, logs=None):
        if self.position.step == 0:
            self._save(0)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            self._save(epoch + 1)


class Probe(keras.callbacks.Callback):
    """Accuracy of kNN or a linear probe on the encoder's frozen features, every N epochs.

    It goes into the epoch's logs as `knn_accuracy` or `linear_accuracy`, and so into metrics.csv and
    TensorBoard, with the `effective_rank` of the train images' features; epochs between two probes
    repeat the last one.

    Args:
        train, test: labelled sources. mode: "knn" or "linear".
        every: epochs between two probes. epochs: of the whole run; the last one is probed too.
        run: `Run`, whose metrics tell the last result where the run goes on.
    """

    def __init__(self, train, test, mode, every, epochs, run):
        super().__init__()
        self.train, self.test, self.mode = train, test, mode
        self.every, self.epochs, self.run = every, epochs, run

    def on_train_begin(self, logs=None):
        last, names = self.run.last_metrics(), (f"{self.mode}_accuracy", "effective_rank")
        self._last = {name: float(last[name]) for name in names if last.get(name)}
        if names[0] not in self._last:
            self._measure()

    def _measure(self):
        from eesmm_keras.training.probing import probe_and_rank

        values = probe_and_rank(self.model.backbone, self.train, self.test, self.mode)
        self._last = dict(zip((f"{self.mode}_accuracy", "effective_rank"), values, strict=True))

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            self._measure()
        if logs is not None:
            logs.update(self._last)


class RefreshMasks(keras.callbacks.Callback):
    """Tells the masking that an epoch begins: a mask bank draws its masks anew."""

    def on_epoch_begin(self, epoch, logs=None):
        if self.model.masking is not None:
            self.model.masking.refresh(epoch)


def run_callbacks(folder, plan, position, extra=()):
    """The callbacks of every run, in the order in which they must stand.

    Args:
        folder: `Run`. plan: `BatchPlan`. position: `Position`.
        extra: callbacks between the one that measures and those that write what was measured.
    """
    return [
        Progress(position, plan.batch_size, plan.epochs),
        *extra,
        MetricsFile(folder.metrics_path),
        EpochBoard(folder.tensorboard_path, write_graph=False),
    ]


class EpochBoard(keras.callbacks.TensorBoard):
    """`keras.callbacks.TensorBoard` that is shown no logs of batches.

    It writes none of them, but Keras 3.15 fetches their numbers from the device for that.
    """

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, None)


class Callbacks(keras.callbacks.CallbackList):
    """The callbacks of a `fit`: logs of batches stay on the device until one of them reads some.

    Keras 3.15 fetches all of them after every batch, and a GPU stops for that.

    Args:
        callbacks: list. model: that is fitted. params: what `fit` gives its callbacks.
    """

    def __init__(self, callbacks, model, **params):
        super().__init__(callbacks, add_history=True, model=model, **params)

    def on_train_batch_end(self, batch, logs=None):
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs=logs)

    def on_test_batch_end(self, batch, logs=None):
        for callback in self.callbacks:
            callback.on_test_batch_end(batch, logs=logs)


class MetricsFile(keras.callbacks.Callback):
    """metrics.csv: one line per epoch, written at once."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        new = not self.path.exists()
        with open(self.path, "a+", newline="") as file:
            # An earlier release began with fewer columns: they stay those of the first line.
            file.seek(0)
            columns = list(row) if new else next(csv.reader(file), list(row))
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(row)

"""What a run needs to know of its devices, and what all backends share."""

import contextlib
import re

import keras

from eesmm_keras.errors import UserError


def parse_devices(devices=None, gpus=None):
    """`("cpu" | "gpu" | None, number or None)` of the settings `devices` and `gpus`.

    Args:
        devices: "cpu:N", N logical devices of the processor; "gpu:N"; or None.
        gpus: N, the short form of "gpu:N", or None.

    Raises:
        UserError: anything else, or both.
    """
    if devices is None:
        return (None, None) if gpus is None else ("gpu", gpus)
    if gpus is not None:
        raise UserError(f"--devices {devices} and --gpus {gpus} say the same: give one of them.")
    match = re.fullmatch(r"(cpu|gpu):([1-9]\d*)", devices)
    if not match:
        raise UserError(f"--devices takes cpu:N or gpu:N, such as cpu:2; got {devices!r}.")
    return match[1], int(match[2])


class Devices:
    """The devices of a run. Without arguments: the backend's default device.

    Args:
        replicas: devices that share a batch, over all hosts.
        cluster: `Cluster`, or None.

    Attributes:
        hosts: number of hosts. is_chief: whether this one writes the run.
        shard: (index, count): which part of each batch this host reads.
        out: the run's folder, which all hosts read. own_out: where this host writes: if it is not the
            chief, a temporary folder. Both are None until `use_devices` tells.
        note: a line for the screen, or empty.
    """

    def __init__(self, replicas=1, cluster=None):
        self.replicas = replicas
        self.hosts = cluster.hosts if cluster else 1
        self.is_chief = cluster is None or cluster.is_chief
        self.shard = (cluster.index, cluster.hosts) if cluster else (0, 1)
        self.out = self.own_out = None
        self.note = ""

    def scope(self):
        """Context in which the model is built and compiled."""
        return contextlib.nullcontext()

    def check_settings(self, settings):
        """Raise a UserError where these devices cannot train as settings want it."""

    def steps_of_hosts(self, step):
        """What all hosts give for `step`, or as much of it as tells whether it is the same."""
        return [step]

    def any_host(self, flag):
        """Whether any host says so; all of them must ask at the same step."""
        return bool(flag)

    def check_agreement(self, step):
        """Raise a UserError unless all hosts go on from the same step."""
        steps = self.steps_of_hosts(step)
        if len(set(steps)) > 1:
            raise UserError(
                f"The hosts found checkpoints of different steps: {steps}. All of them must see the "
                f"run's folder {self.out}: put it on a file system that they share."
            )

    def feed(self, dataset):
        """A data set of this host's rows of each batch as what `fit` wants of it."""
        return dataset

    def feed_validation(self, dataset, images, batch_size):
        """Batches `(x, y)` of all `images`, the last one maybe smaller, as what `fit` wants.

        On several devices the last batch is filled up with images of weight 0; the others weigh so
        much that weighted means over all batches are means over the images.

        Returns:
            data set of `(x, y)`, or of `(x, y, weights)`.
        """
        if self.replicas == 1:
            return dataset
        import tensorflow as tf

        index, hosts = self.shard
        rows = batch_size // hosts
        weight = -(-images // batch_size) * batch_size / images

        def fill(x):
            padding = [[0, batch_size - tf.shape(x)[0]], *[[0, 0]] * (len(x.shape) - 1)]
            x = tf.pad(x, padding)[index * rows : (index + 1) * rows]
            return tf.ensure_shape(x, (rows, *x.shape[1:]))

        def fill_all(x, y):
            return fill(x), fill(y), fill(tf.fill([tf.shape(x)[0]], weight))

        return self.feed(dataset.map(fill_all))


def check_visible(wanted, visible):
    """Raise a UserError if more GPUs are wanted than the backend sees."""
    if wanted > visible:
        raise UserError(
            f"--gpus {wanted}: the {keras.backend.backend()} backend sees {visible} "
            f"GPU{'s' * (visible != 1)}. Leave "
            "--gpus away to train on the default device, or check the driver, "
            "CUDA_VISIBLE_DEVICES and that the backend is installed with GPU support."
        )


def too_late(count):
    """UserError: the backend has chosen its devices already."""
    return UserError(
        f"--devices cpu:{count}: {keras.backend.backend()} has started with other devices. Choose "
        "them before anything is computed in this process."
    )

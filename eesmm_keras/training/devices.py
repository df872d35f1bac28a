"""Which devices a run uses: one, several of this machine, or those of several hosts.

The batch is always the global one, of all devices of all hosts. Each device gets a contiguous part of
its rows, and what is drawn at random does not depend on the number of devices (`parallel`).
"""

import contextlib
import functools
import os
import re
import sys
import tempfile

import keras

from eesmm_keras.errors import UserError
from eesmm_keras.training.cluster import find_cluster

_TORCH = (
    "Several devices or hosts need the TensorFlow or the JAX backend: set KERAS_BACKEND=tensorflow "
    "or jax. (PyTorch's DistributedDataParallel is not supported.)"
)


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


@contextlib.contextmanager
def use_devices(settings):
    """The devices and hosts of a run, set up before anything is computed; a context.

    Every host but the first is silent in it and writes its run to a folder that is removed: all
    hosts do the same work in the same order, so none waits for another one.

    Args:
        settings: with `devices`, `gpus`, `coordinator`, `num_hosts`, `host_index` and `out`.

    Yields:
        `Devices`.

    Raises:
        UserError: the devices are not there, or the backend cannot.
    """
    kind, count = parse_devices(settings.devices, settings.gpus)
    cluster = find_cluster(settings.coordinator, settings.num_hosts, settings.host_index)
    with contextlib.ExitStack() as stack:
        devices = _start(kind, count, cluster, stack)
        devices.out = devices.own_out = settings.out
        if cluster and not cluster.is_chief:
            devices.own_out = stack.enter_context(_silent())
        yield devices


class Devices:
    """What a run needs to know of its devices. Without arguments: the backend's default device.

    Args:
        replicas: devices that share a batch, over all hosts.
        cluster: `Cluster`, or None.
        strategy: TensorFlow's, or None.
    """

    def __init__(self, replicas=1, cluster=None, strategy=None):
        self.replicas, self.strategy = replicas, strategy
        self.hosts = cluster.hosts if cluster else 1
        self.is_chief = cluster is None or cluster.is_chief
        # The run's folder, which all hosts read; and where this one writes: if it is not the chief, to
        # a temporary folder.
        self.out = self.own_out = None
        self.shard = (cluster.index, cluster.hosts) if cluster else (0, 1)

    def scope(self):
        """Context in which the model is built and compiled."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def check_agreement(self, step):
        """Raise a UserError unless all hosts go on from the same step."""
        if self.hosts == 1:
            return
        if self.strategy is None:
            import numpy as np
            from jax.experimental import multihost_utils

            steps = multihost_utils.process_allgather(np.array([step])).reshape(-1).tolist()
        else:
            import tensorflow as tf

            total = self.strategy.reduce(
                tf.distribute.ReduceOp.SUM,
                self.strategy.run(lambda: tf.constant(float(step))),
                axis=None,
            )
            steps = [step, round(float(total)) - step * (self.replicas - 1)]
        if len(set(steps)) > 1:
            raise UserError(
                f"The hosts found checkpoints of different steps: {steps}. All of them must see the "
                f"run's folder {self.out}: put it on a file system that they share."
            )

    def feed(self, dataset):
        """A data set of this host's rows of each batch as what `fit` wants of it."""
        if self.strategy is None or self.hosts == 1:
            return dataset
        # TensorFlow takes one batch a device, in order.
        local = self.replicas // self.hosts
        rows = keras.tree.flatten(dataset.element_spec)[0].shape[0]
        dataset = dataset if local == 1 else dataset.rebatch(rows // local)
        return self.strategy.distribute_datasets_from_function(lambda context: dataset)

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


@contextlib.contextmanager
def _silent():
    """A temporary folder for a run; nothing is printed meanwhile."""
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as null:
        with contextlib.redirect_stdout(null):
            yield os.path.join(folder, "run")
        sys.stdout.flush()


def _start(kind, count, cluster, stack):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _start_tensorflow(kind, count, cluster)
    if backend == "jax":
        return _start_jax(kind, count, cluster, stack)
    if kind == "gpu":
        import torch

        _check_visible(count, torch.cuda.device_count())
    if cluster or (count or 1) > 1:
        raise UserError(_TORCH)
    return Devices()


def _check_visible(wanted, visible):
    if wanted > visible:
        raise UserError(
            f"--gpus {wanted}: the {keras.backend.backend()} backend sees {visible} "
            f"GPU{'s' * (visible != 1)}. Leave "
            "--gpus away to train on the default device, or check the driver, "
            "CUDA_VISIBLE_DEVICES and that the backend is installed with GPU support."
        )


def _too_late(count):
    return UserError(
        f"--devices cpu:{count}: {keras.backend.backend()} has started with other devices. Choose "
        "them before anything is computed in this process."
    )


# === TensorFlow ===


def _start_tensorflow(kind, count, cluster):
    import tensorflow as tf

    if kind == "gpu":
        gpus = tf.config.list_physical_devices("GPU")
        _check_visible(count, len(gpus))
    elif kind == "cpu":
        _logical_cpus(count)
    if cluster:
        # It takes all GPUs that this process sees.
        if kind == "gpu":
            tf.config.set_visible_devices(gpus[:count], "GPU")
        if kind == "cpu" and count > 1:
            raise UserError(
                f"--devices cpu:{count}: TensorFlow uses one CPU device a host. Take cpu:1, or "
                "KERAS_BACKEND=jax."
            )
        strategy = _multi_worker(cluster)
        return Devices(strategy.num_replicas_in_sync, cluster, strategy)
    if (count or 1) == 1:
        return Devices()
    names = [f"{kind.upper()}:{i}" for i in range(count)]
    return Devices(count, strategy=tf.distribute.MirroredStrategy(names))


def _logical_cpus(count):
    import tensorflow as tf

    try:
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(cpu, logical)
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError as error:  # TensorFlow has started
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise _too_late(count) from error


@functools.cache  # a second one in a process would reuse the first one's numbers of collectives
def _multi_worker(cluster):
    import tensorflow as tf

    resolvers = tf.distribute.cluster_resolver
    if cluster.slurm:
        port = int(cluster.addresses[0].rpartition(":")[2])
        # Only for the names of the nodes: it would ask nvidia-smi for GPUs, and count one each.
        one_each = {"gpus_per_node": 1, "gpus_per_task": 1, "auto_set_gpu": False}
        try:
            spec = resolvers.SlurmClusterResolver(port_base=port, **one_each).cluster_spec()
        except RuntimeError as error:
            raise UserError(
                "--coordinator slurm: TensorFlow takes one task a node, with all its GPUs: srun "
                f"--ntasks-per-node=1 ({error})"
            ) from error
    elif len(cluster.addresses) == cluster.hosts:
        spec = tf.train.ClusterSpec({"worker": list(cluster.addresses)})
    else:
        raise UserError(
            "TensorFlow must know every host: give --coordinator host0:port,host1:port,... in the "
            "order of --host-index, or TF_CONFIG. On JAX (KERAS_BACKEND=jax) host 0's is enough."
        )
    resolver = resolvers.SimpleClusterResolver(
        spec,
        task_type="worker",
        task_id=cluster.index,
        num_accelerators={"GPU": len(tf.config.get_visible_devices("GPU"))},
        rpc_layer="grpc",
    )
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


# === JAX ===


def _start_jax(kind, count, cluster, stack):
    import jax

    if kind == "cpu":
        try:
            jax.config.update("jax_num_cpu_devices", count)
            jax.config.update("jax_platforms", "cpu")
        except RuntimeError as error:  # JAX has started
            if len(jax.local_devices(backend="cpu")) < count:
                raise _too_late(count) from error
    if cluster:
        if kind == "gpu":
            # JAX would give a task of Slurm one GPU only.
            os.environ.setdefault("JAX_LOCAL_DEVICE_IDS", ",".join(map(str, range(count))))
        if not jax.distributed.is_initialized():
            keras.distribution.initialize(cluster.addresses[0], cluster.hosts, cluster.index)
    elif (count or 1) == 1 and kind != "gpu":
        return Devices()
    devices = _jax_devices(kind, count)
    if len(devices) == 1:
        return Devices()
    distribution = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    stack.enter_context(distribution.scope())
    return Devices(len(devices), cluster)


def _jax_devices(kind, count):
    """Names of the devices of all hosts, host by host: the first `count` of each."""
    import jax

    devices = jax.devices("cpu") if kind == "cpu" else jax.devices()
    if kind == "gpu":
        devices = [device for device in devices if device.platform == "gpu"]
    local = [[d for d in devices if d.process_index == i] for i in range(jax.process_count())]
    if kind == "gpu":
        _check_visible(count, min(len(some) for some in local))
    return [f"{d.platform}:{d.id}" for some in local for d in some[:count]]

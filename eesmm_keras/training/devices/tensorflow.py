"""Devices and hosts under TensorFlow: `tf.distribute`."""

import contextlib
import functools

import keras
import tensorflow as tf

from eesmm_keras.errors import UserError
from eesmm_keras.training.devices.base import Devices, check_visible, too_late


class TensorFlowDevices(Devices):
    """Several devices under a strategy of `tf.distribute`."""

    def __init__(self, strategy, cluster=None):
        super().__init__(strategy.num_replicas_in_sync, cluster)
        self.strategy = strategy

    def scope(self):
        return self.strategy.scope()

    def check_settings(self, settings):
        # Keras 3.15 applies the sum under a condition, in which TensorFlow's devices cannot meet.
        if getattr(settings, "accumulate", 1) > 1:
            raise UserError(
                f"accumulate={settings.accumulate} does not work on several devices of TensorFlow. "
                "Take KERAS_BACKEND=jax, or a smaller batch without it."
            )

    def steps_of_hosts(self, step):
        if self.hosts == 1:
            return [step]
        return [step, self._sum(step) - step * (self.replicas - 1)]

    def any_host(self, flag):
        return bool(flag) if self.hosts == 1 else self._sum(int(bool(flag))) > 0

    def _sum(self, number):
        """Sum of what all replicas give, a whole number."""
        given = self.strategy.run(lambda: tf.constant(float(number)))
        return round(float(self.strategy.reduce(tf.distribute.ReduceOp.SUM, given, axis=None)))

    def feed(self, dataset):
        if self.hosts == 1:
            return dataset
        # TensorFlow takes one batch per device, in order.
        local = self.replicas // self.hosts
        rows = keras.tree.flatten(dataset.element_spec)[0].shape[0]
        dataset = dataset if local == 1 else dataset.rebatch(rows // local)
        return self.strategy.distribute_datasets_from_function(lambda context: dataset)


def start(kind, count, cluster, stack):
    """`Devices` as `parse_devices` and `find_cluster` described them.

    Raises:
        UserError: they are not there, or not together.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if kind == "gpu":
        check_visible(count, len(gpus))
    elif kind == "cpu":
        _logical_cpus(count)
    if kind != "cpu":
        _take_gpus(gpus[:count])
    if cluster:
        if kind == "cpu" and count > 1:
            raise UserError(
                f"--devices cpu:{count}: TensorFlow uses one CPU device a host. Take cpu:1, or "
                "KERAS_BACKEND=jax."
            )
        strategy = _multi_worker(cluster)
        return TensorFlowDevices(strategy, cluster)
    if (count or 1) == 1:
        return Devices()
    names = [f"{kind.upper()}:{i}" for i in range(count)]
    devices = TensorFlowDevices(tf.distribute.MirroredStrategy(names))
    if kind == "gpu":
        devices.note = (
            "On several GPUs TensorFlow compiles a part of the step, KERAS_BACKEND=jax all of it: that "
            "should be faster (eesmm docs scaling)."
        )
    return devices


def _take_gpus(gpus):
    """See no other GPUs than these, and take of their memory what is needed."""
    # TensorFlow has started: it has what it has, and the strategy names the devices.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)


def _logical_cpus(count):
    try:
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(cpu, logical)
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError as error:  # TensorFlow has started
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise too_late(count) from error


@functools.cache  # a second one in a process would reuse the first one's numbers of collectives
def _multi_worker(cluster):
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


def has_accelerator():
    """Whether there is a GPU or TPU."""
    return any(device.device_type in ("GPU", "TPU") for device in tf.config.list_physical_devices())

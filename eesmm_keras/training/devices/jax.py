"""Devices and hosts under JAX: `keras.distribution`."""

import os

import jax
import keras
import numpy as np

from eesmm_keras.training.devices.base import Devices, check_visible, too_late


class JaxDevices(Devices):
    """Several devices that share batches by Keras' data parallelism."""

    def steps_of_hosts(self, step):
        if self.hosts == 1:
            return [step]
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(np.array([step])).reshape(-1).tolist()

    def any_host(self, flag):
        return any(self.steps_of_hosts(int(bool(flag))))


def start(kind, count, cluster, stack):
    """`Devices` as `parse_devices` and `find_cluster` described them.

    Raises:
        UserError: they are not there, or come too late.
    """
    if kind == "cpu":
        try:
            jax.config.update("jax_num_cpu_devices", count)
            jax.config.update("jax_platforms", "cpu")
        except RuntimeError as error:  # JAX has started
            if len(jax.local_devices(backend="cpu")) < count:
                raise too_late(count) from error
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
    return JaxDevices(len(devices), cluster)


def _jax_devices(kind, count):
    """Names of the devices of all hosts, host by host: the first `count` of each."""
    devices = jax.devices("cpu") if kind == "cpu" else jax.devices()
    if kind == "gpu":
        devices = [device for device in devices if device.platform == "gpu"]
    local = [[d for d in devices if d.process_index == i] for i in range(jax.process_count())]
    if kind == "gpu":
        check_visible(count, min(len(some) for some in local))
    return [f"{d.platform}:{d.id}" for some in local for d in some[:count]]


def has_accelerator():
    """Whether there is a GPU or TPU. JAX is set up by asking."""
    return jax.default_backend() != "cpu"

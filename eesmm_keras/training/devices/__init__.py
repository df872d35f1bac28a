"""Which devices a run uses: one, several of this machine, or those of several hosts.

The batch is always the global one, of all devices of all hosts. Each device gets a contiguous part of
its rows, and what is drawn at random does not depend on the number of devices (`parallel`).

The module of a backend's name has `start(kind, count, cluster, stack)`, which gives its `Devices`, and
`has_accelerator()`.
"""

import contextlib
import importlib
import os
import sys
import tempfile

import keras

from eesmm_keras.training.cluster import find_cluster
from eesmm_keras.training.devices.base import Devices, parse_devices

__all__ = ["Devices", "has_accelerator", "parse_devices", "use_devices"]


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
        devices = _backend().start(kind, count, cluster, stack)
        devices.check_settings(settings)
        devices.out = devices.own_out = settings.out
        if cluster and not cluster.is_chief:
            devices.own_out = stack.enter_context(_silent())
        yield devices


def has_accelerator(settings):
    """Whether a run on the devices of these settings has GPUs or TPUs, before they are set up."""
    if settings.devices:
        return parse_devices(settings.devices, settings.gpus)[0] != "cpu"
    # Asking would set up a JAX that is alone: hosts that train together have some.
    return bool(settings.gpus or settings.coordinator) or _backend().has_accelerator()


def _backend():
    return importlib.import_module(f"{__name__}.{keras.backend.backend()}")


@contextlib.contextmanager
def _silent():
    """A temporary folder for a run; nothing is printed meanwhile."""
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as null:
        with contextlib.redirect_stdout(null):
            yield os.path.join(folder, "run")
        sys.stdout.flush()

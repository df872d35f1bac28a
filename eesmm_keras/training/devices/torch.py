"""One device under PyTorch."""

import torch

from eesmm_keras.errors import UserError
from eesmm_keras.training.devices.base import Devices, check_visible


def start(kind, count, cluster, stack):
    """`Devices` as `parse_devices` and `find_cluster` described them.

    Raises:
        UserError: the GPU is not there, or several devices or hosts are asked for.
    """
    if kind == "gpu":
        check_visible(count, torch.cuda.device_count())
    if cluster or (count or 1) > 1:
        raise UserError(
            "Several devices or hosts need the TensorFlow or the JAX backend: set "
            "KERAS_BACKEND=tensorflow or jax. (PyTorch's DistributedDataParallel is not supported.)"
        )
    return Devices()


def has_accelerator():
    """Whether there is a GPU."""
    return torch.cuda.is_available()

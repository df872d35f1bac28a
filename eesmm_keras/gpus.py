"""Whose the GPUs are, where two libraries share a process."""

import contextlib
import sys

import keras


def leave_gpus_to_backend():
    """On JAX and PyTorch, hide the GPUs from TensorFlow, which only feeds the model there.

    Its first operation would take nearly all of their memory. Nothing changes where TensorFlow is the
    backend, is not loaded, or is at work already.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or keras.config.backend() == "tensorflow":
        return
    with contextlib.suppress(RuntimeError):  # its devices are in use
        tensorflow.config.set_visible_devices([], "GPU")

"""Which devices a run uses."""

import contextlib

import keras

from eesmm_keras.errors import UserError


def visible_gpus():
    """Number of GPUs that the running backend sees."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return len(tf.config.list_physical_devices("GPU"))
    if backend == "jax":
        import jax

        return len([device for device in jax.devices() if device.platform == "gpu"])
    import torch

    return torch.cuda.device_count()


def distribute(gpus, batch_size, images_per_sample):
    """Context in which the model is built and compiled for a number of GPUs.

    Args:
        gpus: wanted number, or None for the backend's default device.
        batch_size: of one step; every GPU gets an equal part.
        images_per_sample: a part must hold a multiple of this.

    Raises:
        UserError: fewer GPUs are visible, the batch does not divide, or the backend cannot.
    """
    if gpus is None:
        return contextlib.nullcontext()
    backend, visible = keras.backend.backend(), visible_gpus()
    if gpus > visible:
        raise UserError(
            f"--gpus {gpus}: the {backend} backend sees {visible} GPU{'s' * (visible != 1)}. Leave "
            "--gpus away to train on the default device, or check the driver, "
            "CUDA_VISIBLE_DEVICES and that the backend is installed with GPU support."
        )
    if gpus == 1:
        return contextlib.nullcontext()
    if batch_size % (gpus * images_per_sample):
        raise UserError(
            f"--batch-size {batch_size} must be a multiple of {gpus * images_per_sample}: "
            f"{gpus} GPUs, and samples of {images_per_sample} images."
        )
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(gpus)]).scope()
    if backend == "jax":
        devices = keras.distribution.list_devices("gpu")[:gpus]
        return keras.distribution.DataParallel(devices=devices).scope()
    raise UserError(
        "Several GPUs need the TensorFlow or the JAX backend: set KERAS_BACKEND=tensorflow or jax."
    )

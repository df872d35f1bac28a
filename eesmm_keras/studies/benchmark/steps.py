"""A method's training step on data that lie on the device already, on each backend.

Keras' `train_on_batch` would move the batch and read the logs in every step: on a GPU that takes longer
than the step. What runs here is the same `train_step`, compiled as `fit` compiles it.
"""

import keras


def make_step(model, images):
    """`(step, wait)`: a function that begins one step, and one that returns when all are done.

    Args:
        model: compiled. images: uint8 `(B, H, W, C)`, NumPy.
    """
    return {"jax": _on_jax, "tensorflow": _on_tensorflow, "torch": _on_torch}[
        keras.backend.backend()
    ](model, images)


def peak_memory():
    """Bytes that the accelerator has held at once so far; None on a processor."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_logical_devices("GPU"):
            return None
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def _on_jax(model, images):
    import jax

    data = (jax.device_put(images),)
    parts = (
        model.trainable_variables, model.non_trainable_variables, model.optimizer.variables,
        model.metrics_variables,
    )  # fmt: skip
    state = [tuple([variable.value for variable in part] for part in parts)]
    run = jax.jit(model.train_step, donate_argnums=0)

    def step():
        state[0] = run(state[0], data)[1]

    return step, lambda: jax.block_until_ready(state[0])


def _on_tensorflow(model, images):
    import tensorflow as tf

    data = tf.constant(images)
    run = tf.function(lambda x: model.train_step((x,)), jit_compile=model.jit_compile)
    logs = [None]

    def step():
        logs[0] = run(data)

    return step, lambda: [value.numpy() for value in logs[0].values()]


def _on_torch(model, images):
    import torch

    data = keras.ops.convert_to_tensor(images)
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    return lambda: model.train_step((data,)), wait

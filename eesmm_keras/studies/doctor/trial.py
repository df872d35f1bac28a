"""A training step of the chosen setup, tried in a process of its own, and how large a batch fits."""

import resource
import statistics
import subprocess
import time

from eesmm_keras.child_process import ask, free_memory, serve
from eesmm_keras.errors import UserError

# Share of the memory that is free which a batch may take; the rest is for the data and for others.
SHARE = 0.8
# A trial is stopped when less than this share of the machine's memory is left.
_FREE = 0.1
_SECONDS = 3.0
_MAX_BATCH = 65536


def try_step(settings, batch_size):
    """Time and memory of a step with random images.

    Args:
        settings: dict of settings, see `training.settings.resolve`. batch_size: images per step.

    Returns:
        Dict: `batch`, `seconds` (of a step), `first_s` (of the first one, compiling included),
        `peak` and `limit` (bytes of memory; of the accelerator, where `device` is one), `device`,
        `parameters`, `state` (bytes of weights and optimizer). Or `batch` and `failure`.
    """
    spec = {**settings, "batch_size": batch_size}
    try:
        answer = ask("eesmm_keras.studies.doctor.trial", spec, keep_free=_FREE)
    except UserError as error:
        return {"batch": batch_size, "failure": str(error)}
    return {"batch": batch_size, **answer}


def find_batch(settings, batch_size, group, try_step=try_step):
    """The largest batch that fits, out of trials with batches that certainly do.

    Memory grows linearly with the batch, so two small batches tell what a large one takes; the batch
    asked for is tried only if it should fit. Nothing is filled in order to see where it breaks.

    Args:
        settings: see `try_step`. batch_size: the batch asked for. group: its divisor.
        try_step: what makes a trial.

    Returns:
        `(trials, largest)`: what `try_step` gave, smallest batch first; and the largest batch, 0
        where not even the smallest trial passed.
    """
    small = max(group, 4 // group * group)
    trials = []
    for batch in sorted({small, 4 * small, batch_size}):
        if len(trials) >= 2 and batch > largest_batch(trials, group):
            break
        trial = try_step(settings, batch)
        trials.append(trial)
        if "failure" in trial:
            break
    return trials, largest_batch(trials, group)


def largest_batch(trials, group):
    """The largest multiple of `group` for which the trials' memory, continued linearly, suffices."""
    good = [trial for trial in trials if "failure" not in trial]
    if not good:
        return 0
    last = good[-1]
    room = SHARE * last["limit"] - last["peak"]
    if len(good) > 1:
        slope = (last["peak"] - good[-2]["peak"]) / (last["batch"] - good[-2]["batch"])
    else:
        slope = last["peak"] / last["batch"]  # pessimistic: as if a step without images took none
    if slope <= 0:
        return _MAX_BATCH // group * group
    largest = min(last["batch"] + int(room / slope), _MAX_BATCH)
    failed = [trial["batch"] for trial in trials if "failure" in trial]
    if failed:
        largest = min(largest, failed[0] - 1)
    return max(largest // group * group, 0)


def _memory():
    """`(device, peak, limit)` of this process, see `try_step`."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
            return "GPU", peak, _total_gpu_memory()
    elif backend == "jax":
        import jax

        device = jax.local_devices()[0]
        stats = device.memory_stats() if device.platform != "cpu" else None
        if stats:
            return device.platform.upper(), stats["peak_bytes_in_use"], stats["bytes_limit"]
    else:
        import torch

        if torch.cuda.is_available():
            return "GPU", torch.cuda.max_memory_reserved(), torch.cuda.mem_get_info()[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with open("/proc/self/statm") as file:
        held = int(file.read().split()[1]) * resource.getpagesize()
    memory = free_memory()
    # What this process holds now is free again for the run.
    return "CPU", peak, memory[0] + held if memory else 2**62


def _total_gpu_memory():
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    output = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return int(output.splitlines()[0]) * 2**20


class _Channels:
    """What `build_backbone` is told of random images."""

    def __init__(self, channels):
        self.channels = channels or 3

    def arguments(self):
        if self.channels == 3:
            return {}
        return {"mean": (0.5,) * self.channels, "std": (0.25,) * self.channels}


def run_trial(spec):
    """The child: one setup, a few steps; see `try_step`."""
    import keras
    import numpy as np

    from eesmm_keras.training.pretraining import build_backbone, build_method
    from eesmm_keras.training.schedules import make_optimizer
    from eesmm_keras.training.settings import resolve

    settings = resolve("pretrain", options=spec)
    keras.config.set_dtype_policy(settings.precision)
    backbone = build_backbone(settings.backbone, settings.image_size, _Channels(settings.channels))
    model = build_method(settings, backbone)
    optimizer = make_optimizer(settings, model, 100)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer)
    shape = (settings.batch_size, *backbone.image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    seconds, until = [], None
    while len(seconds) < 3 or time.perf_counter() < until:
        begin = time.perf_counter()
        model.train_on_batch(images)
        seconds.append(time.perf_counter() - begin)
        until = until or time.perf_counter() + _SECONDS
    device, peak, limit = _memory()
    variables = [*model.variables, *optimizer.variables]
    return {
        "seconds": statistics.median(seconds[1:]),
        "first_s": seconds[0],
        "device": device,
        "peak": peak,
        "limit": limit,
        "parameters": model.count_params(),
        "state": sum(4 * int(np.prod(v.shape)) for v in variables),  # float32 in every policy
    }


if __name__ == "__main__":
    serve(run_trial)

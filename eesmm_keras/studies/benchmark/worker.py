"""One case of the benchmark, alone in a process: builds it, then takes a turn when it is asked to.

A turn is as many steps as fill `TURN` seconds, at least one. The data lie on the device before it
begins, and it ends when the device has done all steps.
"""

import resource
import runpy
import sys
import time

from eesmm_keras.child_process import serve
from eesmm_keras.studies.benchmark.cases import PEER

# Seconds; long enough that a fast case is not measured by its first step after a pause.
TURN = 2.0


def make_images(spec):
    """The same images for every case."""
    import numpy as np

    shape = (spec["batch"], spec["image_size"], spec["image_size"], 3)
    return np.random.default_rng(0).integers(0, 256, shape, "uint8")


def ours(spec):
    """Optimisation steps of a method of this package: `(step, wait, MACs per image)`."""
    import keras

    from eesmm_keras import methods
    from eesmm_keras.backbones import from_preset
    from eesmm_keras.studies.benchmark.steps import make_step
    from eesmm_keras.training.optimizer import LayerDecayAdamW

    keras.config.set_dtype_policy(spec["precision"])
    shape = (spec["image_size"], spec["image_size"], 3)
    backbone = from_preset(spec["backbone"], image_shape=shape)
    arguments = {"seed": 0, **spec["arguments"]}
    model = methods.get(spec["method"])(backbone, **arguments)
    optimizer = LayerDecayAdamW(1e-4)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, jit_compile=spec["jit"])
    return *make_step(model, make_images(spec)), model.macs()


def theirs(spec):
    """One optimisation step of a peer: `make_step(spec, images)` of the file `spec["peer"]`.

    `spec` holds the encoder's arguments (`encoder`), `image_size`, `batch`, `precision` and `jit`
    (whether the step is to be compiled); `images` are uint8 `(batch, image_size, image_size, 3)`.
    It returns a function without arguments that does one full step of SimMIM, and may have an
    attribute `wait`, a function that returns when the device is done.
    """
    step = runpy.run_path(spec["peer"])["make_step"](spec, make_images(spec))
    return step, getattr(step, "wait", lambda: None)


def in_turn(step, wait):
    """Seconds of a step, over as many as fill a turn.

    The host runs ahead of an accelerator: it waits for it after so many steps as take a good part of
    the turn.
    """
    steps, together, begin = 0, 1, time.perf_counter()
    while steps == 0 or time.perf_counter() - begin < TURN:
        for _ in range(together):
            step()
        wait()
        steps += together
        if time.perf_counter() - begin < TURN / 8:
            together *= 2
    return (time.perf_counter() - begin) / steps


def held(peer):
    """Megabytes at the peak: of the accelerator, or of this process where there is none."""
    of_device = None
    if peer:
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            of_device = torch.cuda.max_memory_allocated()
    else:
        from eesmm_keras.studies.benchmark.steps import peak_memory

        of_device = peak_memory()
    if of_device is not None:
        return of_device / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def turns(spec):
    """What a case took: first its first call, then turn by turn."""
    peer = spec["method"] == PEER
    step, wait, macs = (*theirs(spec), None) if peer else ours(spec)
    begin = time.perf_counter()
    step()
    wait()
    yield {"first_call_s": time.perf_counter() - begin, "macs": macs}
    while True:
        yield {"seconds": in_turn(step, wait), "peak_mb": held(peer)}


if __name__ == "__main__":
    serve(turns)

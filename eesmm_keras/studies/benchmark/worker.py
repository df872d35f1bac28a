"""One case of the benchmark, alone in a process: builds it, then takes a turn when it is asked to.

A turn is as many steps as fill `TURN` seconds, at least one.
"""

import resource
import runpy
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
    """One optimisation step of a method of this package: `(step, MACs per image)`."""
    import keras

    from eesmm_keras import methods
    from eesmm_keras.backbones import from_preset
    from eesmm_keras.training.optimizer import LayerDecayAdamW

    keras.config.set_dtype_policy(spec["precision"])
    shape = (spec["image_size"], spec["image_size"], 3)
    backbone = from_preset(spec["backbone"], image_shape=shape)
    arguments = {"seed": 0, **spec["arguments"]}
    model = methods.get(spec["method"])(backbone, **arguments)
    optimizer = LayerDecayAdamW(1e-4)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, jit_compile=spec["jit"])
    images = make_images(spec)
    return lambda: model.train_on_batch(images), model.macs()


def theirs(spec):
    """One optimisation step of a peer: `make_step(spec, images)` of the file `spec["peer"]`.

    `spec` holds the encoder's arguments (`encoder`), `image_size`, `batch`, `precision` and `jit`
    (whether the step is to be compiled); `images` are uint8 `(batch, image_size, image_size, 3)`.
    It returns a function without arguments that does one full step of SimMIM.
    """
    return runpy.run_path(spec["peer"])["make_step"](spec, make_images(spec))


def turns(spec):
    """What a case took: first its first call, then turn by turn."""
    if spec["method"] == PEER:
        step, macs = theirs(spec), None
    else:
        step, macs = ours(spec)
    begin = time.perf_counter()
    step()
    yield {"first_call_s": time.perf_counter() - begin, "macs": macs}
    while True:
        steps, begin = 0, time.perf_counter()
        while steps == 0 or time.perf_counter() - begin < TURN:
            step()
            steps += 1
        seconds = (time.perf_counter() - begin) / steps
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield {"seconds": seconds, "peak_mb": peak}


if __name__ == "__main__":
    serve(turns)

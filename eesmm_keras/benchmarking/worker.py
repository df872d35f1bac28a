"""One case of the benchmark, alone in a process: builds it, then takes a turn a line of input.

A turn is as many steps as fill `TURN` seconds, at least one; the answer is one JSON object a line.
"""

import json
import os
import resource
import sys
import time

# Seconds; long enough that a fast case is not measured by its first step after a pause.
TURN = 2.0


def make_images(spec):
    """The same images for every case."""
    import numpy as np

    shape = (spec["batch"], spec["image_size"], spec["image_size"], 3)
    return np.random.default_rng(0).integers(0, 256, shape, "uint8")


def ours(spec):
    """One optimisation step of a method of this package: `(step, MACs an image)`."""
    import keras

    from eesmm_keras import methods
    from eesmm_keras.backbones import from_preset
    from eesmm_keras.benchmarking.macs import method_macs
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
    return lambda: model.train_on_batch(images), method_macs(model)


def main():
    # Only answers may be on the pipe to the parent.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    spec = json.loads(sys.argv[1])

    def answer(**values):
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    if spec["method"] == "peer":
        from eesmm_keras.benchmarking.peer import peer

        step, macs = peer(spec), None
    else:
        step, macs = ours(spec)
    begin = time.perf_counter()
    step()
    first = time.perf_counter() - begin
    answer(first_call_s=first, macs=macs)
    for _ in sys.stdin:
        steps, begin = 0, time.perf_counter()
        while steps == 0 or time.perf_counter() - begin < TURN:
            step()
            steps += 1
        seconds = (time.perf_counter() - begin) / steps
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer(seconds=seconds, peak_mb=peak)


if __name__ == "__main__":
    main()

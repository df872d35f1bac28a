"""What devices tell one another in a training step, for more and more of them: no GPUs are needed.

python benchmarks/collectives.py [--devices 2,8,64] [--methods eesmm,simmim] [--backbone swin_mini_32]

The step of `eesmm pretrain` on JAX, data-parallel, is compiled for so many logical devices of the
processor, two mixes (four images) each, and the collective operations in what XLA makes of it are
counted. Their number should not grow with the devices. XLA joins more of them on GPUs. Each line is a
process of its own.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time

OPERATIONS = "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"
EACH = 4  # images of a device
# Machine code is not run: it need not be good.
FAST = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def compiled(method, backbone, devices):
    """XLA's text of a step for so many logical devices."""
    from types import SimpleNamespace

    import jax
    import keras

    from eesmm_keras import LayerDecayAdamW, methods
    from eesmm_keras.backbones import from_preset
    from eesmm_keras.training.devices import use_devices

    names = ("gpus", "coordinator", "num_hosts", "host_index", "out")
    settings = SimpleNamespace(**dict.fromkeys(names), devices=f"cpu:{devices}")
    with use_devices(settings) as used, used.scope():
        model = methods.get(method)(from_preset(backbone), seed=0)
        model.compile(LayerDecayAdamW(1e-4))
        parts = (
            model.trainable_variables, model.non_trainable_variables, model.optimizer.variables,
            model.metrics_variables,
        )  # fmt: skip
        state = tuple([variable.value for variable in part] for part in parts)
        batch = jax.sharding.NamedSharding(
            keras.distribution.distribution().device_mesh.backend_mesh,
            jax.sharding.PartitionSpec("batch"),
        )
        shape = (EACH * devices, *model.backbone.image_shape)
        images = jax.ShapeDtypeStruct(shape, "uint8", sharding=batch)
        same = jax.tree.map(lambda value: value.sharding, state)
        step = jax.jit(model.train_step, donate_argnums=0, out_shardings=(None, same))
        return step.lower(state, (images,)).compile().as_text()


def count(text):
    """`{operation: how many}` of the collectives in a program."""
    return {name: len(re.findall(rf" {name}(?:-start)?\(", text)) for name in OPERATIONS}


def child(spec):
    begin = time.perf_counter()
    found = count(compiled(**spec))
    print(json.dumps({**found, "s": round(time.perf_counter() - begin)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", default="2,8,64")
    parser.add_argument("--methods", default="eesmm")
    parser.add_argument("--backbone", default="swin_mini_32")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(json.loads(options.child))
        return
    print(f"| method | devices | {' | '.join(OPERATIONS)} | s to build and compile |")
    print("|---|---|" + "---|" * (len(OPERATIONS) + 1), flush=True)
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": FAST,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    for method in options.methods.split(","):
        for devices in map(int, options.devices.split(",")):
            spec = {"method": method, "backbone": options.backbone, "devices": devices}
            found = subprocess.run(
                [sys.executable, __file__, "--child", json.dumps(spec)],
                env=environment, capture_output=True, text=True,
            )  # fmt: skip
            if found.returncode:
                raise SystemExit(found.stderr[-3000:])
            numbers = json.loads(found.stdout.splitlines()[-1])
            print(
                f"| {method} | {devices} | {' | '.join(map(str, numbers.values()))} |", flush=True
            )


if __name__ == "__main__":
    main()

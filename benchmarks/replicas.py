"""A training step on several logical devices of TensorFlow: as Keras has it, as it is here, compiled.

python benchmarks/replicas.py [--devices 2] [--method eesmm] [--backbone swin_mini_32] [--batch-size 16]

Operations are those that the host starts one by one: what XLA compiles counts as one. Times: medians,
the three steps in turn, so that other work on the machine slows all of them. On a GPU, where starting
an operation costs more than on a processor, this was not run.
"""

import argparse
import os
import statistics
import time
from types import SimpleNamespace
from unittest import mock

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

STEPS = "as Keras has it", "gradients summed first", "and compiled in each replica"


def make_step(kind, options, devices):
    """`(step, graph)`: a function without arguments that trains once, and its `GraphDef`."""
    import keras
    import numpy as np
    import tensorflow as tf

    from eesmm_keras import LayerDecayAdamW, methods
    from eesmm_keras.backbones import from_preset
    from eesmm_keras.guarded_model import GuardedModel

    keras.utils.set_random_seed(0)
    with devices.scope():
        model = methods.get(options.method)(from_preset(options.backbone), seed=0)
        model.compile(LayerDecayAdamW(1e-4), jit_compile=kind == STEPS[2])
    shape = (options.batch_size, *model.backbone.image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    data = tf.data.Dataset.from_tensors(images).repeat()
    strategy = devices.strategy
    batch = next(iter(strategy.experimental_distribute_dataset(data)))
    by_keras = mock.patch.object(GuardedModel, "_keras_step", keras.Model.train_step)

    @tf.function
    def run(batch):
        return strategy.run(model.train_step, args=(batch,))

    with by_keras if kind == STEPS[0] else mock.MagicMock():
        graph = run.get_concrete_function(batch).graph.as_graph_def()
    return lambda: float(strategy.experimental_local_results(run(batch)["loss"])[0]), graph


def operations(graph):
    """How many operations the host starts: those of compiled functions count as one."""
    functions = {function.signature.name: function for function in graph.library.function}
    whole = {name for name, f in functions.items() if f.attr["_XlaMustCompile"].b}

    def count(nodes):
        total = 0
        for node in nodes:
            total += node.op not in ("Const", "NoOp", "Identity", "Placeholder", "_Arg", "_Retval")
            called = [node.attr["f"].func.name] if "PartitionedCall" in node.op else []
            called += [
                node.attr[k].func.name for k in ("then_branch", "else_branch") if k in node.attr
            ]
            total += sum(count(functions[name].node_def) for name in called if name not in whole)
        return total

    return count(graph.node)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--method", default="eesmm")
    parser.add_argument("--backbone", default="swin_mini_32")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()

    from eesmm_keras.training.devices import use_devices

    names = ("gpus", "coordinator", "num_hosts", "host_index", "out")
    settings = SimpleNamespace(**dict.fromkeys(names), devices=f"cpu:{options.devices}")
    with use_devices(settings) as devices:
        made = {kind: make_step(kind, options, devices) for kind in STEPS}
        losses = {kind: [step()] for kind, (step, _) in made.items()}
        times = {kind: [] for kind in STEPS}
        for _ in range(options.repeats):
            for kind, (step, _) in made.items():
                begin = time.perf_counter()
                losses[kind].append(step())
                times[kind].append(time.perf_counter() - begin)
    print(f"| step | operations | ms, median of {options.repeats} | fastest | loss of the last |")
    print("|---|---|---|---|---|")
    for kind, (_, graph) in made.items():
        median, best = statistics.median(times[kind]), min(times[kind])
        print(
            f"| {kind} | {operations(graph)} | {1000 * median:.0f} | {1000 * best:.0f} | "
            f"{losses[kind][-1]:.6f} |"
        )


if __name__ == "__main__":
    main()

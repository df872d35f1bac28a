"""Where the time of a training step goes on TensorFlow, by kind of operation.

    python benchmarks/profile_step.py [--method eesmm] [--backbone swin_tiny] [--batch-size 32]

Times are summed over the threads that run operations, so they add up to more than the step's own. The
profiler does not see what XLA runs inside of TensorFlow's graph: GELU, forward and backward.
"""

import argparse
import collections
import glob
import os
import tempfile

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Name of an operation in the graph -> what it belongs to, first match wins.
PARTS = (
    ("adam", "optimizer"),
    ("_MklNativeFusedMatMul", "matrix products of dense layers"),
    ("MatMul:_MklMatMul", "matrix products of dense layers"),
    ("MatMul:MatMul", "matrix products of dense layers"),
    ("MatMul_1:_MklMatMul", "matrix products of dense layers"),
    ("norm", "layer normalisation"),
    ("attention", "attention beside its dense layers: products, softmax, bias, layout, groups"),
    ("decoder", "decoder beside its dense layers and norms"),
)


def trace(step, wait):
    """Seconds of each operation of one step, by `graph/name:Kind`."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        step()
        wait()
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        [file] = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
        with open(file, "rb") as content:
            space.ParseFromString(content.read())
    seconds = collections.Counter()
    for plane in space.planes:
        for line in plane.lines if "CPU" in plane.name else ():
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                # Operations look like path/of/op:Kind; the rest is the executor's own.
                if ":" in name and "::" not in name and "__inference" not in name:
                    seconds[name] += event.duration_ps / 1e12
    return seconds


def part_of(name):
    return next((part for key, part in PARTS if key in name), "everything else")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="eesmm")
    parser.add_argument("--backbone", default="swin_tiny")
    parser.add_argument("--batch-size", type=int, default=32)
    args = parser.parse_args()

    from eesmm_keras.backbones import preset_arguments
    from eesmm_keras.studies.benchmark.worker import ours

    size = preset_arguments(args.backbone)[1]["image_shape"][0]
    step, wait, _ = ours(
        {
            "method": args.method, "arguments": {}, "backbone": args.backbone, "jit": False,
            "batch": args.batch_size, "image_size": size, "precision": "float32",
        }
    )  # fmt: skip
    step()
    step()
    wait()
    parts = collections.Counter()
    for name, seconds in trace(step, wait).items():
        parts[part_of(name)] += seconds
    total = sum(parts.values())
    for part, seconds in parts.most_common():
        print(f"{seconds / total:6.1%}  {part}")


if __name__ == "__main__":
    main()

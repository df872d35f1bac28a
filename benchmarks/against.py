"""A training step of this checkout against the same step of another one, in turns.

    git worktree add ../before c73bc23
    python benchmarks/against.py ../before [--methods eesmm,simmim] [--backbone swin_mini_32]
    python benchmarks/against.py . --precision mixed_bfloat16       (against float32)

Both sides live through the whole run, each in a process of its own, and take turns of about a second
each; what comes first changes from turn to turn. The ratio of a pair of turns is other / this: above 1,
this checkout is faster. The median over the turns is printed with the middle half of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

TURN = 1.0
HERE = Path(__file__).resolve().parent.parent


def compiled(spec):
    """A method, compiled, and a batch of images for it."""
    import keras
    import numpy as np

    from eesmm_keras import LayerDecayAdamW, methods
    from eesmm_keras.backbones import from_preset

    keras.config.set_dtype_policy(spec.get("precision", "float32"))
    backbone = from_preset(spec["backbone"])
    model = methods.get(spec["method"])(backbone, seed=0)
    optimizer = LayerDecayAdamW(1e-4)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer)
    shape = (spec["batch_size"], *backbone.image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    return model, images


def child(spec):
    """Build the model once; then one turn a line of input, seconds per step as the answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    model, images = compiled(spec)
    for _ in range(3):
        model.train_on_batch(images)
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        steps, begin = 0, time.perf_counter()
        while not steps or time.perf_counter() - begin < TURN:
            model.train_on_batch(images)
            steps += 1
        print((time.perf_counter() - begin) / steps, file=answers, flush=True)


def start(checkout, spec):
    """A process that trains with the package of `checkout`."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--child", json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if process.stdout.readline().strip() != "ready":
        raise SystemExit(f"{spec['method']} does not train in {checkout}.")
    return process


def turn(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def ratios(spec, other, turns, precision):
    """`other / this` of every turn; this side computes in `precision`."""
    sides = {
        "this": start(HERE, {**spec, "precision": precision}),
        "other": start(Path(other).resolve(), spec),
    }
    found = []
    try:
        for number in range(turns):
            order = ("this", "other") if number % 2 else ("other", "this")
            seconds = {name: turn(sides[name]) for name in order}
            found.append(seconds["other"] / seconds["this"])
    finally:
        for process in sides.values():
            process.kill()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", nargs="?", help="another checkout of this repository")
    parser.add_argument("--methods", default="eesmm,greenmim,simmim,mixmim,dmjd")
    parser.add_argument("--backbone", default="swin_mini_32")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument(
        "--precision", default="float32", help="of this side; the other side computes in float32"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(json.loads(options.child))
        return
    if not options.other:
        parser.error("the path of the other checkout is missing")
    print(f"{'method':10} speed of this checkout / of the other, median (middle half)")
    for method in options.methods.split(","):
        spec = {"method": method, "backbone": options.backbone, "batch_size": options.batch_size}
        found = ratios(spec, options.other, options.turns, options.precision)
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"{method:10} {middle:.3f} ({low:.3f} to {high:.3f})", flush=True)


if __name__ == "__main__":
    main()

"""Building a model and its first training step, in this checkout against another one.

    git worktree add ../before c73bc23
    python benchmarks/first_call.py ../before [--backbones swin_tiny,swin_base] [--turns 5]

Every reading is a process of its own, on an empty compilation cache; both sides take turns, and what
comes first changes from turn to turn. "building" is the model and its optimizer, "first step" what
the first step takes beyond the second one: tracing and compiling. The ratio of a pair is other / this:
above 1, this checkout is ready sooner. Medians are printed with the smallest and the largest value.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from against import compiled

HERE = Path(__file__).resolve().parent.parent


PARTS = ("building", "first step")


def child(spec):
    """Print how long building the model, its first step and its second one take, in seconds."""
    import keras

    import eesmm_keras.methods  # noqa: F401  The import is not measured.

    keras.ops.zeros(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    begin = time.perf_counter()
    model, images = compiled(spec)
    print(time.perf_counter() - begin, file=answers, flush=True)
    for _ in range(2):
        begin = time.perf_counter()
        model.train_on_batch(images)
        print(time.perf_counter() - begin, file=answers, flush=True)


def reading(checkout, spec):
    """Seconds by part, with the package of `checkout`."""
    found = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(spec)],
        capture_output=True,
        text=True,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if found.returncode:
        raise SystemExit(
            f"{spec['backbone']} does not train in {checkout}:\n{found.stderr[-2000:]}"
        )
    building, first, second = map(float, found.stdout.split())
    return dict(zip(PARTS, (building, first - second), strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", nargs="?", help="another checkout of this repository")
    parser.add_argument("--method", default="eesmm")
    parser.add_argument("--backbones", default="swin_tiny,swin_base")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(json.loads(options.child))
        return
    if not options.other:
        parser.error("the path of the other checkout is missing")
    sides = {"this": HERE, "other": Path(options.other).resolve()}
    print("| encoder | part | this, s | other, s | other / this, median (smallest to largest) |")
    print("|---|---|---|---|---|")
    for backbone in options.backbones.split(","):
        spec = {"method": options.method, "backbone": backbone, "batch_size": options.batch_size}
        readings = {"this": [], "other": []}
        for number in range(options.turns):
            for name in ("this", "other") if number % 2 else ("other", "this"):
                readings[name].append(reading(sides[name], spec))
        for part in PARTS:
            this, other = ([found[part] for found in readings[side]] for side in sides)
            ratios = [b / a for a, b in zip(this, other, strict=True)]
            this, other, ratio = (statistics.median(found) for found in (this, other, ratios))
            span = f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"| {backbone} | {part} | {this:.1f} | {other:.1f} | {ratio:.2f} ({span}) |")


if __name__ == "__main__":
    main()

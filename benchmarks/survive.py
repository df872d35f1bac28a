"""A run that is killed again and again, against one that is not: do they end with the same weights?

    python benchmarks/survive.py --kills 8 [--task finetune]

Both runs get the same command. The second one is killed with SIGKILL at random moments, from its start
on, and started again until it finishes. Then metrics.csv and all weights are compared, bit for bit.
"""

import argparse
import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMON = [
    "--data", "digits", "--backbone", "swin_mini_32", "--batch-size", "32", "--accumulate", "2",
    "--checkpoint-every", "25",
]  # fmt: skip
TASKS = {
    "pretrain": ["--set", "decoder_dim=64", "--set", "decoder_num_heads=4"],
    "finetune": ["--weights", "none", "--set", "ema_momentum=0.99", "--set", "val_limit=50"],
}


def start(task, epochs, out):
    command = [
        sys.executable, "-m", "eesmm_keras.cli.main", task, *COMMON, *TASKS[task],
        "--epochs", str(epochs), "--out", str(out),
    ]  # fmt: skip
    log = open(f"{out}.log", "a")  # noqa: SIM115  (the child writes to it)
    return subprocess.Popen(command, stdout=log, stderr=log)


def run_through(task, epochs, out):
    begin = time.monotonic()
    status = start(task, epochs, out).wait()
    if status:
        sys.exit(f"The run failed with status {status}: see {out}.log")
    return time.monotonic() - begin


def run_killed(task, epochs, out, kills, seconds, rng):
    """Kill it `kills` times, each within `seconds` of its start. Returns how often it died."""
    died = 0
    while died < kills:
        child = start(task, epochs, out)
        try:
            status = child.wait(rng.uniform(0.1, seconds))
            if status:
                sys.exit(f"The run failed with status {status}: see {out}.log")
            break
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            died += 1
    run_through(task, epochs, out)
    return died


def same_curve(runs):
    def rows(run):
        with open(run / "metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        return [{k: v for k, v in row.items() if k not in ("images_per_second", "data_wait")}
                for row in rows]  # fmt: skip

    return rows(runs[0]) == rows(runs[1])


def same_weights(runs):
    import numpy as np

    from eesmm_keras import load_model

    models = [load_model(run / "model.keras", compile=False) for run in runs]
    pairs = zip(models[0].weights, models[1].weights, strict=True)
    return all(np.array_equal(*(np.asarray(v.value) for v in pair)) for pair in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--task", choices=list(TASKS), default="pretrain")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with tempfile.TemporaryDirectory() as folder:
        runs = [Path(folder) / name for name in ("whole", "killed")]
        seconds = run_through(options.task, options.epochs, runs[0])
        died = run_killed(options.task, options.epochs, runs[1], options.kills, seconds, rng)
        curve, weights = same_curve(runs), same_weights(runs)
    print(
        f"{options.task} under {os.environ['KERAS_BACKEND']}, killed {died} times: the metrics are "
        f"{'the same' if curve else 'DIFFERENT'}, the weights {'the same' if weights else 'DIFFERENT'}"
    )
    sys.exit(0 if curve and weights else 1)


if __name__ == "__main__":
    main()

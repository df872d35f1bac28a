"""Segmentation or detection from pre-trained weights against random ones, over several seeds.

    python benchmarks/dense_tasks.py --task segmentation --data DATA --out DIR --weights none,RUN,...
        [--seeds 0,1,2] [--epochs 10] [--image-size 96,128] [--batch-size 16] [--set KEY=VALUE ...]

DATA is a folder as in docs/segmentation.md or docs/detection.md. All weights are fine-tuned in the
same way. A run that is finished in DIR is not run again: the same command, given again, goes on. The
first weights are what the others are compared with, seed by seed.
"""

import argparse
import contextlib
import json
from pathlib import Path

import numpy as np

from eesmm_keras.comparison.table import paired_difference
from eesmm_keras.training.evaluating import evaluate
from eesmm_keras.training.finetuning import finetune
from eesmm_keras.training.settings import resolve


def name_of(weights):
    """What a table calls weights: the last part of their path."""
    return Path(weights).resolve().name if weights != "none" else "none"


def score(args, weights, seed):
    """Scores on the test images of one fine-tuning, {name: number}; kept in a file."""
    name = name_of(weights)
    out = Path(args.out, f"{name}-{seed}")
    kept = out / "scores.json"
    with contextlib.suppress(FileNotFoundError):
        return name, json.loads(kept.read_text())
    options = {
        "data": args.data, "weights": weights, "out": str(out), "task_name": args.task,
        "backbone": args.backbone, "image_size": list(map(int, args.image_size.split(","))),
        "batch_size": args.batch_size, "epochs": args.epochs, "seed": seed,
    }  # fmt: skip
    finetune(resolve("finetune", assignments=args.set, options=options))
    found = evaluate(args.data, str(out), batch_size=32)[0].scores
    kept.write_text(json.dumps(found))
    return name, found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=["segmentation", "detection"], required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--backbone", default="swin_proxy_64")
    parser.add_argument("--image-size", default="96,128")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    names = list(map(name_of, args.weights.split(",")))
    if len(set(names)) < len(names):
        parser.error(f"--weights are told apart by the last part of their paths; got {names}.")
    found = {}
    for seed in map(int, args.seeds.split(",")):
        for weights in args.weights.split(","):
            name, scores = score(args, weights, seed)
            found.setdefault(name, []).append(scores)
            print(name, seed, scores, flush=True)
    first = next(iter(found))
    for title in found[first][0]:
        for name, runs in found.items():
            values, others = ([100 * run[title] for run in some] for some in (runs, found[first]))
            line = f"{title:16} {name:16} {np.mean(values):.1f}"
            if len(values) > 1:
                line += f" +- {np.std(values, ddof=1):.1f}"
                if name != first:
                    mean, half = paired_difference(values, others)
                    line += f", {mean:+.1f} [{mean - half:.1f}, {mean + half:.1f}] to {first}"
            print(line)


if __name__ == "__main__":
    main()

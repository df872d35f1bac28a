"""`eesmm demo` with several seeds: mean and deviation of every row, and the lead over the others.

    python benchmarks/demo_seeds.py --out OUT [--seeds 0,1,2,3,4]

A seed draws the pre-training, the labelled tiles, the fine-tunings and the random weights.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from eesmm_keras.cli._demo import run_demo


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    args = parser.parse_args()
    found = []
    for seed in args.seeds.split(","):
        said = args.out / f"seed{seed}.json"
        if not said.exists():
            rows = run_demo(args.out / f"seed{seed}", int(seed))
            said.write_text(json.dumps(rows))
        found.append(json.loads(said.read_text()))
    print(f"{'':60} {'accuracy':>8} {'sd':>6}  behind the first row, seed by seed")
    first, *_ = found[0]
    for name in found[0]:
        values = 100 * np.array([rows[name] for rows in found])
        behind = 100 * np.array([rows[first] for rows in found]) - values
        spread = values.std(ddof=1) if len(values) > 1 else float("nan")
        print(f"{name:60} {values.mean():8.1f} {spread:6.1f}  {np.round(behind, 1).tolist()}")


if __name__ == "__main__":
    main()

"""Does `eesmm pretrain --data DATA --out OUT`, with no other option, learn something?

    python benchmarks/stock.py --out OUT [--seed 0] [--probe-limit 10000] [--epochs 5] [--steps 78]
        [--set NAME=VALUE ...] DATA [DATA ...]

For every DATA (labelled, as `--data` takes it): the stock pre-training; then kNN and linear probes on
frozen features, and fine-tuning on a tenth of the labels, each from the pre-trained encoder and from
the same encoder at random. What is chosen for the pre-training is printed by it. A finished
pre-training is not run again. `--set`, as `eesmm pretrain` takes it, tries another choice.
"""

import argparse
import time
from pathlib import Path

from eesmm_keras.comparison.measuring import measure
from eesmm_keras.data.sources import limit_source, open_source
from eesmm_keras.training.automatic import resolve_automatically
from eesmm_keras.training.evaluating import scores
from eesmm_keras.training.finetuning import finetune
from eesmm_keras.training.pretraining import build_backbone, pretrain
from eesmm_keras.training.settings import resolve
from eesmm_keras.training.weights import load_backbone, load_checked

FINETUNE = {
    "label_share": 0.1, "val_limit": 500, "batch_size": 64, "warmup_epochs": 1,
    "learning_rate": 8e-3, "layer_decay": 0.8, "drop_path": 0.0,
}  # fmt: skip


def accuracies(data, weights, backbone, settings, args, out):
    """Accuracies on the test images by name, of one start."""
    train, test = open_source(data), open_source(data, "test")
    found = measure(backbone, limit_source(train, args.probe_limit), test)
    options = {"data": data, "weights": weights, "out": str(out), "seed": args.seed}
    options["backbone"] = settings.backbone
    schedule = {"epochs": args.epochs, "steps_per_epoch": args.steps}
    run, _ = finetune(resolve("finetune", options=options, base={**FINETUNE, **schedule}), print)
    return {**found, "fine-tuned, 10 %": scores(load_checked(run.path), test)["accuracy"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    for name, default in (("seed", 0), ("probe-limit", 10_000), ("epochs", 5), ("steps", 78)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    rows = []
    for data in args.data:
        out = args.out / Path(data).name
        options = {"data": data, "out": str(out / "pretrain"), "seed": args.seed}
        begun, before = time.time(), time.process_time()
        settings = resolve_automatically(None, tuple(args.set), options)
        run = pretrain(settings, say=print)
        minutes = (time.time() - begun) / 60, (time.process_time() - before) / 60
        print(f"{minutes[0]:.1f} minutes, {minutes[1]:.1f} of a core", flush=True)
        random = build_backbone(settings.backbone, settings.image_size)
        for start, weights, backbone in (
            ("random weights", "none", random),
            ("stock", str(run.path), load_backbone(run.path)),
        ):
            found = accuracies(data, weights, backbone, settings, args, out / start.split()[0])
            rows.append((Path(data).name, start, found))
            print(rows[-1], flush=True)
    names = list(rows[0][2])
    print("| data | start | " + " | ".join(names) + " |")
    for data, start, found in rows:
        print(f"| {data} | {start} | " + " | ".join(f"{100 * found[n]:.1f}" for n in names) + " |")


if __name__ == "__main__":
    main()

"""The dense encoder against public ones: transformers' Swin (PyTorch) and keras-hub's (each backend).

    python benchmarks/dense.py [--backbone swin_tiny] [--batch-size 8] [--repeats 5]
        [--backends tensorflow,jax,torch] [--out DIR]

Each side lives in a process of its own; they take turns, two seconds each. `forward` is one call in
inference mode, `training` one step of SGD on the mean of the output: forward and backward. Speeds are
relative to ours on the same backend; keras-hub and transformers need to be installed.
"""

import argparse
import csv
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

STEPS = ("forward", "training")
TURN = 2.0
SIDES = (
    ("ours", "tensorflow"),
    ("keras-hub", "tensorflow"),
    ("ours", "jax"),
    ("keras-hub", "jax"),
    ("ours", "torch"),
    ("keras-hub", "torch"),
    ("transformers", "torch"),
)


def keras_steps(side, preset, images):
    import keras

    size = images.shape[1]
    if side == "ours":
        from eesmm_keras import SwinBackbone

        backbone = SwinBackbone(**preset, include_normalization=False)
    else:
        from keras_hub.models import SwinTransformerBackbone

        backbone = SwinTransformerBackbone(
            image_shape=(size, size, 3),
            patch_size=4,
            embed_dim=preset["embed_dim"],
            depths=list(preset["depths"]),
            num_heads=list(preset["num_heads"]),
            window_size=preset["window_size"],
            drop_path=0.0,
        )
    output = backbone.output
    axes = tuple(range(1, len(output.shape)))
    model = keras.Model(backbone.input, keras.ops.mean(output, axis=axes))
    model.compile(keras.optimizers.SGD(1e-6), loss="mse")
    target = np.zeros(len(images), "float32")
    return {
        "forward": lambda: model.predict_on_batch(images),
        "training": lambda: model.train_on_batch(images, target),
    }


def torch_steps(preset, images):
    import torch
    from transformers import SwinConfig, SwinModel

    model = SwinModel(
        SwinConfig(
            image_size=images.shape[1], embed_dim=preset["embed_dim"],
            depths=list(preset["depths"]), num_heads=list(preset["num_heads"]),
            window_size=preset["window_size"], drop_path_rate=0.0,
        ),
        add_pooling_layer=False,
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())

    def forward():
        with torch.inference_mode():
            return model.eval()(images).last_hidden_state.numpy()

    def training():
        loss = model.train()(images).last_hidden_state.mean(dim=(1, 2)).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return {"forward": forward, "training": training}


def work(side, preset, batch, size):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    images = np.random.default_rng(0).normal(size=(batch, size, size, 3)).astype("float32")
    peer = side == "transformers"
    steps = torch_steps(preset, images) if peer else keras_steps(side, preset, images)
    for step in steps.values():
        step()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        step, count, begin = steps[line.strip()], 0, time.perf_counter()
        while count == 0 or time.perf_counter() - begin < TURN:
            step()
            count += 1
        print((time.perf_counter() - begin) / count, file=answers, flush=True)


def start(backends, backbone, batch_size):
    """`{(side, framework): process}` of every side that is asked for, ready for its turns."""
    processes = {}
    for side, framework in (pair for pair in SIDES if pair[1] in backends):
        command = [sys.executable, __file__, "--work", side, "--backbone", backbone]
        process = processes[side, framework] = subprocess.Popen(
            [*command, "--batch-size", str(batch_size)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "KERAS_BACKEND": framework, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        if process.stdout.readline().strip() != "ready":
            sys.exit(f"{side} on {framework} did not start: is it installed?")
    return processes


def measure(processes, repeats):
    """Seconds of every turn, `{((side, framework), step): [...]}`; all processes take turns.

    Their order is drawn anew for every turn: a process may slow the one that follows.
    """
    seconds = {(key, what): [] for key in processes for what in STEPS}
    order, draw = list(processes.items()), random.Random(0)
    for _ in range(repeats):
        for what in STEPS:
            draw.shuffle(order)
            for key, process in order:
                process.stdin.write(f"{what}\n")
                process.stdin.flush()
                seconds[key, what].append(float(process.stdout.readline()))
    for process in processes.values():
        process.kill()
    return seconds


def table(processes, seconds, batch_size):
    """One row per side, framework and step."""
    rows = []
    for side, framework in processes:
        for what in STEPS:
            mine, own = seconds[(side, framework), what], seconds[("ours", framework), what]
            ratio = statistics.median(a / b for a, b in zip(mine, own, strict=True))
            row = {"name": side, "framework": framework, "step": what, "batch": batch_size}
            row["images_per_s"] = round(batch_size / statistics.median(mine), 2)
            rows.append({**row, "ours_is_faster_by": round(ratio, 2)})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="swin_tiny")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--backends", default="tensorflow,jax,torch")
    parser.add_argument("--out", default="runs/dense")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()

    from eesmm_keras.backbones.presets import SWIN_PRESETS

    preset = SWIN_PRESETS[args.backbone]
    if args.work:
        return work(args.work, preset, args.batch_size, preset["image_shape"][0])

    processes = start(args.backends.split(","), args.backbone, args.batch_size)
    rows = table(processes, measure(processes, args.repeats), args.batch_size)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


if __name__ == "__main__":
    main()

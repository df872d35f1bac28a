"""How the cost grows: EESMM against the dense step over batch, image size, encoder, ratio and mix.

    python benchmarks/growth.py [--out DIR] [--repeats 3]

One picture and one CSV: images per second of whole training steps (TensorFlow, not compiled) and the
ratio to the dense SimMIM step with the same encoder, batch and images.
"""

import argparse
import csv
from pathlib import Path

from eesmm_keras.studies.benchmark.throughput import benchmark

# Every panel varies one thing; the rest is Swin-T, 224 pixels, batch 16.
BASE = {"backbone": "swin_tiny", "batch": 16, "image_size": 224}
PANELS = {
    "images per step": [("batch", value) for value in (8, 16, 32, 64)],
    "image side in pixels, batch 8": [
        ({"image_size": value, "batch": 8}, value) for value in (192, 224, 320, 512)
    ],
    "encoder": [("backbone", f"swin_{value}") for value in ("tiny", "small", "base")],
    "mask ratio": [
        ("methods", f"eesmm:mask_ratio={value}") for value in (0.5, 0.6, 0.75, 0.9)
    ],
    "images per mix": [
        ("methods", value) for value in ("greenmim", "eesmm", "eesmm:num_mixed=3",
                                         "eesmm:num_mixed=4")
    ],
}  # fmt: skip


def measure(out, repeats):
    """One row a point: panel, value, images per second of both sides, ratio."""
    rows = []
    for panel, points in PANELS.items():
        if points[0][0] == "methods":
            names = [name for _, name in points]
            runs = [(BASE, names, [_value(name) for name in names])]
        else:
            runs = []
            for change, value in points:
                change = change if isinstance(change, dict) else {change: value}
                runs.append(({**BASE, **change}, ["eesmm"], [value]))
        for settings, names, values in runs:
            table = benchmark(
                out / "cases", **settings, repeats=repeats, jit="off",
                methods=("simmim", *names), say=lambda line: None,
            )  # fmt: skip
            speed = {row["name"]: row for row in table}
            for name, value in zip(names, values, strict=True):
                rows.append(
                    {
                        "panel": panel,
                        "value": value,
                        "images_per_s": speed[name]["images_per_s"],
                        "dense_images_per_s": speed["simmim"]["images_per_s"],
                        "ratio": speed[name]["ratio_to_fastest_dense"],
                        "flop_bound": speed[name]["flop_bound"],
                    }
                )
                print(rows[-1], flush=True)
    return rows


def _value(name):
    """The number that a method's name varies; one image is no mix."""
    return float(name.split("=")[1]) if "=" in name else {"greenmim": 1.0, "eesmm": 2.0}[name]


def draw(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(4 * len(PANELS), 3.6))
    for axis, panel in zip(axes, PANELS, strict=True):
        points = [row for row in rows if row["panel"] == panel]
        places, names = range(len(points)), [f"{row['value']}" for row in points]
        axis.plot(places, [row["images_per_s"] for row in points], "o-", label="EESMM")
        axis.plot(places, [row["dense_images_per_s"] for row in points], "s--", label="dense")
        for place, row in zip(places, points, strict=True):
            axis.annotate(f"{row['ratio']:.1f}x", (place, row["images_per_s"]),
                          textcoords="offset points", xytext=(0, 7), ha="center")  # fmt: skip
        axis.set(xlabel=panel, xticks=list(places), xticklabels=names, yscale="log")
        axis.margins(x=0.15, y=0.2)
    axes[0].set_ylabel("images/s (log)")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="runs/growth")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    out = Path(args.out)
    rows = measure(out, args.repeats)
    with open(out / "growth.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, out / "growth.png")
    print(f"{out / 'growth.csv'}\n{out / 'growth.png'}")


if __name__ == "__main__":
    main()

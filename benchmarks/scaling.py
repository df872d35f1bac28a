"""Many GPUs on paper: what a training step measured for one of them says about 8, 64 and 512.

python benchmarks/scaling.py [--step-ms 17.3 --batch-size 256 ...]

Nothing is run but the counting of the model's parameters. Every number that goes in is an option whose
default is of docs/results.md and docs/data.md, or, for hardware, of data sheets; what comes out is
derived. Every GPU has the same part of a batch however many there are. An all-reduce is a ring inside a
machine and one of each GPU's part between machines, and nothing of it hides behind the step.
"""

import argparse
import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

OPTIONS = {
    "method": ("eesmm", "whose parameters are counted"),
    "backbone": ("swin_base", "the same"),
    "step_ms": (17.3, "a step on one GPU (docs/results.md, H100 at best)"),
    "batch_size": (256, "images of a step, each GPU"),
    "gpus_per_machine": (8, ""),
    "link_gb_s": (360.0, "GPU to GPU inside a machine: 80 %% of NVLink's 450 GB/s"),
    "network_gb_s": (40.0, "each GPU to other machines: 80 %% of 400 Gbit/s"),
    "hop_us": (5.0, "of each of a ring's hops"),
    "image_kib": (25.0, "an image as stored: shards of 256-pixel JPEG (docs/data.md)"),
    "images_per_core": (889.0, "images/s that a core reads of them (docs/data.md)"),
    "cores_per_gpu": (16.0, "that a machine has"),
    "storage_gb_s": (5.0, "that a machine reads, of disks or network storage"),
    "index_bytes": (100.0, "memory for each image, on each machine (docs/data.md)"),
    "memory_gb": (1000.0, "of a machine"),
    "disk_gb_s": (1.0, "at which a checkpoint is written"),
    "largest_batch": (4096, "images of a step, as MAE was trained with"),
}  # fmt: skip
GPUS = 1, 8, 64, 512
IMAGES = {"ImageNet-1k": 1_281_167, "1 billion": 10**9}


def parameters(method, backbone):
    """Numbers that training changes."""
    from eesmm_keras import methods
    from eesmm_keras.backbones import from_preset

    model = methods.get(method)(from_preset(backbone), seed=0)
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def all_reduce(gpus, count, given):
    """Seconds in which all GPUs have the sum of `count` float32 gradients."""
    inside = min(gpus, given.gpus_per_machine)
    machines = -(-gpus // given.gpus_per_machine)

    def ring(members, number, gigabytes_per_s):
        moved = 2 * (members - 1) / members * 4 * number
        return moved / (gigabytes_per_s * 1e9) + 2 * (members - 1) * given.hop_us * 1e-6

    return ring(inside, count, given.link_gb_s) + ring(machines, count / inside, given.network_gb_s)


def row(gpus, images, count, given):
    """The columns of the table, and how much of each limit is asked for."""
    step, wait = given.step_ms / 1e3, all_reduce(gpus, count, given)
    rate = gpus * given.batch_size / (step + wait)
    here = min(gpus, given.gpus_per_machine)  # GPUs of a machine
    demand = rate / gpus * here * given.image_kib * 1024
    cores = rate / gpus / given.images_per_core
    index = images * given.index_bytes / 1e9
    asked = {
        f"cores ({cores:.0f} a GPU)": cores / given.cores_per_gpu,
        "storage": demand / 1e9 / given.storage_gb_s,
        f"memory for the index ({index:.0f} GB)": index / given.memory_gb,
        "all-reduce": wait / step,
        f"batch ({gpus * given.batch_size:,})": gpus * given.batch_size / given.largest_batch,
    }
    return {
        "GPUs": gpus,
        "images/s": f"{rate:,.0f}",
        "all-reduce, ms": f"{1e3 * wait:.2f}",
        "efficiency": f"{step / (step + wait):.2f}",
        "an epoch": duration(images / rate),
        "input, MB/s a machine": f"{demand / 1e6:,.0f}",
        "cores a GPU": f"{cores:.0f}",
        "index, GB a machine": f"{index:.1f}",
        "beyond its limit, times": ", ".join(
            f"{name}: {share:.1f}" for name, share in sorted(asked.items(), key=lambda i: -i[1])
            if share > 1
        ) or "nothing",
    }  # fmt: skip


def duration(seconds):
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, (default, text) in OPTIONS.items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(default), default=default, help=text)
    parser.add_argument("--parameters", type=int, help="instead of those of method and backbone")
    given = parser.parse_args()
    count = given.parameters or parameters(given.method, given.backbone)
    size = 3 * 4 * count / 1e9
    print(
        f"{given.method}, {given.backbone}: {count:,} parameters, {4 * count / 1e6:.0f} MB of "
        f"gradients; a checkpoint {size:.2f} GB, written in {size / given.disk_gb_s:.1f} s\n"
    )
    for name, images in IMAGES.items():
        rows = [row(gpus, images, count, given) for gpus in GPUS]
        print(f"{name}:\n\n| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
        for one in rows:
            print(f"| {' | '.join(map(str, one.values()))} |")
        print()


if __name__ == "__main__":
    main()

"""What a GPU would do in a training step, by compiling the step for it: no GPU is needed.

    pip install '.[gpu-audit]'
    python benchmarks/ahead_of_time.py [--method eesmm:num_mixed=4] [--backbone swin_base]
        [--image-size 224] [--batch-size 256] [--precision mixed_bfloat16] [--device h100]

The step is that of `fit` on JAX, forward, backward and optimizer. Kernels, bytes, flops, memory and
instructions are counted in what XLA makes of it; times are a roofline: the larger of bytes over what
the memory gives and flops over what products reach, and 2 us a kernel. Read them as optimistic: a real
GPU may also choose other kernels for products, by trying them, which takes a device.

--hlo FILE keeps XLA's text of the program; --remat and --fused-attention are those of `eesmm pretrain`.
"""

import argparse
import os
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="eesmm")
    parser.add_argument("--backbone", default="swin_base")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--batch-size", dest="batch", type=int, default=256)
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--device", default="h100")
    parser.add_argument("--remat", action="store_true")
    parser.add_argument("--fused-attention", action="store_true")
    parser.add_argument("--hlo", type=Path, metavar="FILE")
    options = vars(parser.parse_args())
    hlo = options.pop("hlo")

    from eesmm_keras.errors import UserError
    from eesmm_keras.studies.roofline.audit import audit
    from eesmm_keras.studies.roofline.report import as_text

    begin = time.perf_counter()
    try:
        found = audit(**options)
    except UserError as error:
        raise SystemExit(f"Error: {error}") from error
    if hlo:
        hlo.write_text(found.text)
    settings = ", ".join(f"{name} {value}" for name, value in options.items() if value)
    print(f"{settings}; {time.perf_counter() - begin:.0f} s\n")
    print(as_text(found.numbers, found.parts))


if __name__ == "__main__":
    main()

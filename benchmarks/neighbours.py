"""Time and peak memory of `eesmm neighbours` on made-up vectors, without reading any images.

python benchmarks/neighbours.py --count 1000000 --dim 128 --precision float16 --queries 1000
python benchmarks/neighbours.py --count 100000 --dim 128 --duplicates 0.98
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from eesmm_keras.answers import tables
from eesmm_keras.answers.embeddings import read_embeddings
from eesmm_keras.answers.matrix_files import MatrixFile
from eesmm_keras.answers.neighbours import Neighbours

parser = argparse.ArgumentParser()
parser.add_argument("--count", type=int, default=1_000_000)
parser.add_argument("--dim", type=int, default=128)
parser.add_argument("--precision", choices=["float16", "float32"], default="float32")
parser.add_argument("--queries", type=int, default=1000)
parser.add_argument("--top", type=int, default=5)
parser.add_argument("--duplicates", type=float)


def make(path, count, dim, precision):
    """Normal vectors; one in a thousand is nearly its predecessor."""
    rng = np.random.default_rng(0)
    with MatrixFile(path, (dim,), precision) as matrix:
        matrix.keep(0)
        for first in range(0, count, 10_000):
            rows = rng.standard_normal((min(10_000, count - first), dim), np.float32)
            rows[1::1000] = rows[::1000][: len(rows[1::1000])] + 0.01
            matrix.add(rows)
        matrix.keep(count)
    names = "".join(f"folder/image_{i}.jpg\n" for i in range(count))
    path.with_name(f"{path.name}.names.csv").write_text(f"file\n{names}")


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main():
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "e.npy")
        make(path, args.count, args.dim, args.precision)
        before, start = peak(), time.monotonic()
        found = read_embeddings(path)
        print(
            f"before {before:.2f} GiB; read in {time.monotonic() - start:.1f} s: {peak():.2f} GiB"
        )
        start = time.monotonic()
        if args.duplicates is None:
            for _ in Neighbours(found).of(found.vectors[: args.queries], args.top):
                pass
            what = f"{args.queries} queries"
        else:
            table = tables.duplicates(found, args.duplicates)
            table.read(args.count)
            what = f"{len(table.first)} groups"
        print(f"{what} in {time.monotonic() - start:.1f} s, peak {peak():.2f} GiB")


if __name__ == "__main__":
    main()

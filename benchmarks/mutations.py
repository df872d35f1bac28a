"""Does a test notice? The core is broken on purpose, one place after the other, in a copy.

python benchmarks/mutations.py                # all, a table of which test caught each
python benchmarks/mutations.py --only grouping
python benchmarks/mutations.py --quick        # by the tests of `make test` alone

A row that says "NOTHING" is a hole in the tests.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
COPIED = ("eesmm_keras", "cli", "exports", "tests", "pyproject.toml")


class Mutation(NamedTuple):
    """`old` becomes `new` in `file`; `tests` are those that should notice, beside `-k` of `only`."""

    file: str
    old: str
    new: str
    tests: str
    only: str = ""


MUTATIONS = {
    "grouping: tokens see other windows": Mutation(
        "eesmm_keras/ops/partitions.py", "same = ops.equal(segment[:, :, None], segment[:, None, :])",
        "same = ops.equal(segment[:, :, None], segment[:, :, None])", "test_sparse_encoder.py",
    ),
    "loss: hidden units are divided by all": Mutation(
        "eesmm_keras/ops/losses.py", "ops.maximum(ops.sum(hidden, axis=-1), 1.0)",
        "float(hidden.shape[-1])", "test_eesmm.py test_eesmm_algebra.py",
    ),
    "subtract: sources weigh lambda, not its square": Mutation(
        "eesmm_keras/decoders/decompose_subtract.py", '(lambdas**2 if self.loss == "mse" else lambdas)',
        "lambdas", "test_equivalences.py test_eesmm.py",
    ),
    "mixing: neighbours are not grouped": Mutation(
        "eesmm_keras/ops/mixing.py",
        "return ops.reshape(images, (-1, num_mixed, *images.shape[1:]))",
        "return ops.swapaxes(ops.reshape(images, (num_mixed, -1, *images.shape[1:])), 0, 1)",
        "test_eesmm.py",
    ),
    "mixmim: what is kept is what was hidden": Mutation(
        "eesmm_keras/methods/mixmim.py", "kept = units * (1 - hidden)", "kept = units * hidden",
        "test_equivalences.py", "mixmim",
    ),
    "order: every epoch is the first": Mutation(
        "eesmm_keras/data/order.py", "default_rng((seed, epoch))", "default_rng((seed, 0))",
        "test_data_pipeline.py test_properties.py",
    ),
    "crops: those of a step are those of its rows": Mutation(
        "eesmm_keras/data/pipeline.py", "np.random.default_rng((seed, position))",
        "np.random.default_rng((seed, position % batch_size))", "test_data_pipeline.py",
    ),
    "labels: of the image wanted, not of the one shown": Mutation(
        "eesmm_keras/data/image_source.py", "return load(index, min_side, seed), index",
        "return load(index, min_side, seed), i", "test_data_pipeline.py test_data_bad_files.py",
    ),
    "checkpoint: the optimizer is left out": Mutation(
        "eesmm_keras/training/checkpoints.py", '("optimizer", model.optimizer.variables),',
        '("optimizer", model.optimizer.variables[:2]),', "test_resume.py",
    ),
    "guard: a bad row is never too long": Mutation(
        "eesmm_keras/training/guard.py", "if self._row >= self.limit:", "if self._row > self.limit:",
        "test_guard.py test_going_back.py",
    ),
    "layer decay: one level too deep": Mutation(
        "eesmm_keras/training/optimizer.py", "layer_decay ** (top - backbone.depth_of(variable.path))",
        "layer_decay ** (top + 1 - backbone.depth_of(variable.path))", "test_training_optimizer.py",
    ),
    "export: any difference is allowed": Mutation(
        "exports/verify.py", "limits = {name: np.finfo(\"float32\").max if tolerance is None else "
        "tolerance for name in names}", "limits = {name: 1e9 for name in names}",
        "test_exports_refusals.py test_exports_files.py",
    ),
    "predict: half a row counts": Mutation(
        "eesmm_keras/answers/work.py", 'if not line.endswith(b"\\n"):', "if False:", "test_answers.py",
    ),
    "sliding: a tile counts for its neighbour": Mutation(
        "eesmm_keras/data/sliding.py", "count + 1", "count + 2", "test_sliding.py",
    ),
    "shards: checksums are not looked at": Mutation(
        "eesmm_keras/data/shards.py", "if zlib.crc32(data) != int(self._checksums[i]):", "if False:",
        "test_prepared.py",
    ),
}  # fmt: skip


def copy_to(folder):
    """The project in another folder, to be imported from there."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for name in ("cli", "exports"):
        (folder / "eesmm_keras" / name).symlink_to(folder / name)


def caught_by(folder, mutation, quick=False):
    """Name of the first test that fails, or None."""
    file = folder / mutation.file
    whole = file.read_text()
    if mutation.old not in whole:
        raise SystemExit(f"{mutation.file} does not hold: {mutation.old}")
    file.write_text(whole.replace(mutation.old, mutation.new))
    tests = [str(folder / "tests" / name) for name in mutation.tests.split()]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    command += ["-k", mutation.only] if mutation.only else []
    command += ["-m", "not slow"] if quick else []
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
    finally:
        file.write_text(whole)
    found = re.search(r"^(?:FAILED|ERROR) \S*?(test_\w+\.py\S*)", done.stdout, re.MULTILINE)
    if done.returncode and not found:
        raise SystemExit(f"pytest ended with {done.returncode}: {done.stdout[-2000:]}")
    return found and found[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of a mutation's name")
    parser.add_argument("--quick", action="store_true", help="without tests that are marked slow")
    asked = parser.parse_args()
    print("| broken | caught by |\n|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as place:
        copy_to(Path(place))
        for name, mutation in MUTATIONS.items():
            if asked.only in name:
                print(
                    f"| {name} | {caught_by(Path(place), mutation, asked.quick) or 'NOTHING'} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

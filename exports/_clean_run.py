"""Run an exported file with its own runtime alone, or time two: a script, never imported.

    python _clean_run.py CONTRACT.py FORMAT.py CLASS INPUTS.npz OUTPUTS.npz EXPORT [ANOTHER]

FORMAT.py defines the format's CLASS, CONTRACT.py is `exports/format.py`; nothing else of this package
can be imported here, nor can Keras, but by a class that says `uses_keras`. INPUTS holds one array
per test batch. OUTPUTS receives one array per batch and output, under the name `batch/output`; or,
with ANOTHER, one of seconds `(turns, 2)` per batch, in which the two take turns.
"""

import importlib.util
import sys
import time
import types

sys.path.pop(0)  # This folder: its files must not stand in for packages of the same names.
sys.modules["keras"] = None  # From here on, importing it is an ImportError.


class Closed:
    """A finder that refuses this package, however it is installed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "eesmm_keras":
            raise ModuleNotFoundError(f"an export must run without {name}", name=name)


sys.meta_path.insert(0, Closed)

import numpy as np  # noqa: E402

WARM_UP, TURNS = 2, 17


def load(name, path):
    """The module of a file, under a name."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_contract(path):
    """Put the contract where a format's file imports it from, in packages that hold nothing else."""
    for name in ("eesmm_keras", "eesmm_keras.exports"):
        package = sys.modules[name] = types.ModuleType(name)
        package.__path__ = []
    load("eesmm_keras.exports.format", path)


def outputs_of(fmt, export, batches):
    """{batch/output: array}."""
    results = fmt.run(export, batches)
    return {f"{batch}/{name}": y for batch, found in results.items() for name, y in found.items()}


def times_of(fmt, exports, batches):
    """{batch: seconds `(turns, 2)`}; the first turns warm up and are left out."""
    pair = [fmt.open(export) for export in exports]
    times = {
        name: [[_seconds(f, x) for f in pair] for _ in range(TURNS)] for name, x in batches.items()
    }
    return {name: np.asarray(turns)[WARM_UP:] for name, turns in times.items()}


def _seconds(function, images):
    begin = time.perf_counter()
    function(images)
    return time.perf_counter() - begin


def main(contract, file, cls, inputs, outputs, export, another=None):
    load_contract(contract)
    fmt = getattr(load("the_format", file), cls)()
    if fmt.uses_keras:
        del sys.modules["keras"]
    with np.load(inputs) as arrays:
        batches = {batch: arrays[batch] for batch in arrays}
    if another is None:
        np.savez(outputs, **outputs_of(fmt, export, batches))
    else:
        np.savez(outputs, **times_of(fmt, (export, another), batches))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Which tests `make test` leaves out and `make test-all` runs: slow_tests.yaml."""

from pathlib import Path

import yaml

BACKENDS = ["tensorflow", "jax", "torch"]
SLOW = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())


def is_slow(name, backend):
    """Whether the table leaves out a test.

    Args:
        name: `tests/test_MODULE.py::test_TEST[CASE]`, as pytest has it.
        backend: the Keras backend.
    """
    path, _, rest = name.partition("::")
    test, _, case = rest.partition("[")
    wanted = f"{Path(path).stem}::{test}".replace("test_", "", 1).replace("::test_", "::")
    case = case.removesuffix("]")
    return any(
        case in entry["slow"] if "slow" in entry else case not in entry.get("quick", ())
        for entry in SLOW
        if entry["test"] == wanted and backend in entry.get("backends", BACKENDS)
    )

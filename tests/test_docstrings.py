"""What stands behind >>> in docstrings runs, and gives what is written under it."""

import doctest
import importlib
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import eesmm_keras

if keras.backend.backend() == "jax":
    pytest.skip(
        "two backends are enough: JAX compiles every operation for itself", allow_module_level=True
    )

ROOT = Path(eesmm_keras.__file__).parent
MODULES = sorted(
    ".".join(("eesmm_keras", *path.relative_to(ROOT).with_suffix("").parts))
    for path in ROOT.rglob("*.py")
    if re.search(r"^ +>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
)


class _Checker(doctest.OutputChecker):
    """Where nothing is written under a line, what it prints (a training's progress) is not compared."""

    def check_output(self, want, got, flags):
        return not want or super().check_output(want, got, flags)


def test_there_are_examples():
    assert "eesmm_keras.methods.eesmm" in MODULES


@pytest.mark.slow  # whole encoders at 224 pixels, and two trainings
@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module):
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), "uint8")
    given = {"images": images, "labels": np.arange(16) % 10}
    found = doctest.DocTestFinder(exclude_empty=True).find(
        importlib.import_module(module), extraglobs=given
    )
    runner = doctest.DocTestRunner(checker=_Checker())
    assert any(test.examples for test in found)
    report = []
    for test in found:
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)

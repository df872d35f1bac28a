"""What a benchmark measures: methods on frameworks, and a peer."""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

from eesmm_keras.child_process import Child
from eesmm_keras.errors import UserError
from eesmm_keras.methods import check_name
from eesmm_keras.names import BACKENDS, split_arguments, unknown_name

METHODS = ("eesmm", "eesmm:num_mixed=3", "eesmm:num_mixed=4", "greenmim", "simmim")
# The dense method; its forward pass is the yardstick of the FLOP bound.
DENSE = "simmim"
PEER = "peer"


@dataclass
class Case:
    """One thing to measure. `jit`: whether the step is compiled (XLA, torch.compile).

    `framework`: of a method, Keras' backend; of a peer, its file's name.
    """

    name: str
    framework: str
    jit: bool
    seconds: list = field(default_factory=list)
    ratios: list = field(default_factory=list)
    first_call_s: float = 0.0
    peak_mb: float = 0.0
    macs: float | None = None
    child: Child | None = None
    failure: str = ""

    @property
    def method(self):
        return split_arguments(self.name)[0]

    @property
    def arguments(self):
        """`eesmm:num_mixed=3` -> {"num_mixed": 3}."""
        return split_arguments(self.name)[1]

    @property
    def is_dense(self):
        return self.method in (DENSE, PEER)

    def __str__(self):
        return f"{self.name} on {self.framework}{', compiled' if self.jit else ''}"


def make_cases(methods, backends, jit, peer):
    """All cases that were asked for.

    Args:
        methods: names, with arguments as in `eesmm:num_mixed=3`. backends: of Keras.
        jit: "off", "on" or "both"; JAX is always compiled, Keras' torch backend never.
        peer: path of a Python file that defines `make_step(spec, images)`, the training step of
            another implementation of SimMIM, see `worker`; or None.

    Raises:
        UserError: an unknown method or backend, or one that is not installed; an argument that the
            method does not have (of plug-ins, arguments are not known); no such file.
    """
    for name in methods:
        check_name(name)
    wanted = {"off": (False,), "on": (True,), "both": (False, True)}[jit]
    cases = []
    for backend in backends:
        if backend not in BACKENDS:
            raise UserError(unknown_name("backend", backend, BACKENDS))
        if importlib.util.find_spec(backend) is None:
            raise UserError(f"The {backend} backend is not installed: pip install {backend}.")
        modes = {"jax": (True,), "torch": (False,)}.get(backend, wanted)
        cases += [Case(name, backend, mode) for name in methods for mode in modes]
    if peer:
        if not Path(peer).is_file():
            raise UserError(f"--peer takes a Python file, and there is no file {str(peer)!r}.")
        cases += [Case(PEER, Path(peer).stem, mode) for mode in wanted]
    return cases

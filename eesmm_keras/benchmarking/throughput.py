"""Training throughput of methods, frameworks and a peer, interleaved in one run.

Every case (a method on a framework, compiled or not) lives in a process of its own, so that its peak
memory and first call are its own too. Frameworks keep their memory between steps, so not all cases fit
into a machine at once: one case, the anchor, lives through the whole run, and every other one takes
turns with it, two seconds or a step each. Speeds are the anchor's, times the median ratio of
neighbouring turns: noise and drift of the machine hit both sides alike.
"""

import csv
import importlib.util
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from eesmm_keras.backbones import preset_arguments
from eesmm_keras.backbones.presets import SWIN_PRESETS
from eesmm_keras.errors import UserError
from eesmm_keras.methods import names as method_names
from eesmm_keras.names import split_arguments, unknown_name

METHODS = ("eesmm", "eesmm:num_mixed=3", "eesmm:num_mixed=4", "greenmim", "simmim")
BACKENDS = ("tensorflow", "jax", "torch")
COLUMNS = (
    "name", "framework", "jit", "batch", "images_per_s", "spread", "ratio_to_fastest_dense",
    "gmacs_per_image", "flop_bound", "flop_bound_share", "peak_mb", "first_call_s",
)  # fmt: skip
# The dense method; its forward pass is the yardstick of the FLOP bound.
DENSE = "simmim"
PEER = "peer"
# Share of the machine's memory that must stay free; a case that takes more is stopped.
_FREE = 0.04


@dataclass
class Case:
    """One thing to measure. `jit`: whether the step is compiled (XLA, torch.compile)."""

    name: str
    framework: str
    jit: bool
    seconds: list = field(default_factory=list)
    ratios: list = field(default_factory=list)
    first_call_s: float = 0.0
    peak_mb: float = 0.0
    macs: float | None = None
    process: subprocess.Popen | None = None
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
        peer: whether PyTorch's own SimMIM runs too.

    Raises:
        UserError: an unknown method or backend, or one that is not installed.
    """
    for name in methods:
        method, _ = split_arguments(name)
        if method not in method_names():
            raise UserError(unknown_name("method", method, method_names()))
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
        for package in ("torch", "transformers"):
            if importlib.util.find_spec(package) is None:
                raise UserError(f"The peer needs {package}: pip install it, or say --no-peer.")
        cases += [Case(PEER, "pytorch", mode) for mode in wanted]
    return cases


class Stopped(Exception):
    """A case that could not go on; the message says why."""


def _free_memory():
    """Share of the machine's memory that is available; 1 where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 1.0
    values = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return values["MemAvailable"] / values["MemTotal"]


def _start(case, settings, log):
    spec = {**settings, "method": case.method, "arguments": case.arguments, "jit": case.jit}
    backend = "torch" if case.name == PEER else case.framework
    case.process = subprocess.Popen(
        [sys.executable, "-m", "eesmm_keras.benchmarking.worker", json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    return _answer(case)


def _answer(case):
    """The process's next answer; it is killed before it drives the machine out of memory."""
    while not select.select([case.process.stdout], [], [], 0.2)[0]:
        if _free_memory() < _FREE:
            case.process.kill()
            raise Stopped("not enough memory: a smaller --batch-size needs less")
    line = case.process.stdout.readline()
    if not line:
        raise Stopped(f"ended with status {case.process.wait()}")
    return json.loads(line)


def _step(case):
    try:
        case.process.stdin.write("step\n")
        case.process.stdin.flush()
    except OSError as error:
        raise Stopped(f"ended with status {case.process.wait()}") from error
    return _answer(case)


def measure(cases, settings, repeats, say=print):
    """Run all cases, each in turns with the anchor, and note what they took.

    Args:
        settings: dict with `backbone`, `image_size`, `batch`, `precision`.
        repeats: turns of each case that are timed, after its first call and one more turn.

    Returns:
        The anchor: the first dense case, or else the first case.
    """
    anchor = next((case for case in cases if case.is_dense), cases[0])
    with tempfile.TemporaryFile("w+") as log:
        try:
            for case in [anchor, *(case for case in cases if case is not anchor)]:
                try:
                    _take_turns(case, anchor, settings, repeats, log, say)
                except Stopped as error:
                    if anchor.process.poll() is not None:
                        raise UserError(_log_end(log) + f"{anchor}: {error}.") from error
                    case.failure = str(error)
                    say(_log_end(log) + f"{case}: left out, {case.failure}.")
                if case is not anchor:
                    _end(case)
        finally:
            for case in cases:
                _end(case)
    return anchor


def _take_turns(case, anchor, settings, repeats, log, say):
    first = _start(case, settings, log)
    case.first_call_s, case.macs = first["first_call_s"], first["macs"]
    _step(case)
    for _ in range(repeats):
        beside = _step(anchor)["seconds"] if case is not anchor else None
        answer = _step(case)
        case.seconds.append(answer["seconds"])
        case.ratios.append(beside / answer["seconds"] if beside else 1.0)
        case.peak_mb = answer["peak_mb"]
        if beside:
            anchor.seconds.append(beside)
    say(
        f"{case}: first call {case.first_call_s:.1f} s, {statistics.median(case.ratios):.2f} times "
        f"the speed of {anchor}"
    )


def _log_end(log):
    """What a failed process said last."""
    log.seek(0)
    return "".join(log.readlines()[-8:])


def _end(case):
    if case.process:
        case.process.kill()
        case.process.wait()


def rows(cases, anchor, batch):
    """One dict a measured case, with the columns of `results.csv`, fastest first."""
    done = [case for case in cases if case.ratios and not case.failure]
    speed = {
        id(case): batch / statistics.median(anchor.seconds) * statistics.median(case.ratios)
        for case in done
    }
    dense = [speed[id(case)] for case in done if case.is_dense]
    dense_macs = next((case.macs for case in done if case.method == DENSE), None)
    result = []
    for case in done:
        ratio = speed[id(case)] / max(dense) if dense else None
        macs = dense_macs if case.name == PEER else case.macs
        bound = dense_macs / macs if dense_macs and macs else None
        result.append(
            {
                "name": case.name,
                "framework": case.framework,
                "jit": case.jit,
                "batch": batch,
                "images_per_s": _round(speed[id(case)], 2),
                "spread": _round(max(case.ratios) / min(case.ratios) - 1, 2),
                "ratio_to_fastest_dense": _round(ratio, 2),
                "gmacs_per_image": _round(macs and macs / 1e9, 3),
                "flop_bound": _round(bound, 2),
                "flop_bound_share": _round(ratio / bound if ratio and bound else None, 3),
                "peak_mb": round(case.peak_mb),
                "first_call_s": _round(case.first_call_s, 1),
            }
        )
    return sorted(result, key=lambda row: -row["images_per_s"])


def _round(value, digits):
    return "" if value is None else round(value, digits)


def as_table(rows):
    """Markdown table of the rows."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(str(row[name]) for name in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)


def benchmark(
    out, backbone="swin_tiny", batch=32, repeats=5, methods=METHODS, backends=("tensorflow",),
    jit="both", peer=True, image_size=None, precision="float32", say=print,
):  # fmt: skip
    """Measure, write `OUT/results.csv` and `OUT/results.md`, and return the rows.

    Raises:
        UserError: unknown names, missing packages, or a folder that cannot be written.
    """
    _, arguments = preset_arguments(backbone)
    if peer and (backbone not in SWIN_PRESETS or backbone.startswith("mixmim")):
        raise UserError(f"The peer is a Swin; with --backbone {backbone} say --no-peer.")
    cases = make_cases(methods, backends, jit, peer)
    settings = {
        "backbone": backbone,
        "image_size": image_size or arguments["image_shape"][0],
        "batch": batch,
        "precision": precision,
    }
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot write to {out}: {error.strerror}. Choose another --out."
        ) from error
    anchor = measure(cases, settings, repeats, say)
    table = rows(cases, anchor, batch)
    with open(out / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table)
    title = f"{backbone}, {settings['image_size']} pixels, batch {batch}, {precision}, "
    text = f"{title}medians of {repeats} pairs of turns\n\n{as_table(table)}\n"
    (out / "results.md").write_text(text)
    say(f"\n{text}")
    return table

"""Training throughput of methods, frameworks and a peer, interleaved in one run.

Every case (a method on a framework, compiled or not) lives in a process of its own, so that its peak
memory and first call are its own too. Frameworks keep their memory between steps, so not all cases fit
into a machine at once: one case, the anchor, lives through the whole run, and every other one takes
turns with it, two seconds or a step each. Speeds are the anchor's, times the median ratio of
neighbouring turns: noise and drift of the machine hit both sides alike.
"""

import csv
import statistics
from pathlib import Path

from eesmm_keras.backbones import check_name, preset_arguments
from eesmm_keras.child_process import Child
from eesmm_keras.errors import UserError
from eesmm_keras.studies.benchmark.cases import METHODS, PEER, make_cases
from eesmm_keras.studies.benchmark.table import COLUMNS, as_table, rows
from eesmm_keras.studies.roofline.accelerators import accelerator
from eesmm_keras.studies.roofline.audit import assumed
from eesmm_keras.studies.roofline.compiling import check_compiler

_WORKER = "eesmm_keras.studies.benchmark.worker"
# Share of the machine's memory that must stay free; a case that takes more is stopped.
_FREE = 0.04


def measure(cases, settings, repeats, say=print):
    """Run all cases, each in turns with the anchor, and note what they took.

    Args:
        settings: dict with `backbone`, `encoder` (its arguments), `image_size`, `batch`, `precision`
            and `peer` (path of a file or None).
        repeats: turns of each case that are timed, after its first call and one more turn.

    Returns:
        The anchor: the first dense case, or else the first case.
    """
    anchor = next((case for case in cases if case.is_dense), cases[0])
    try:
        for case in [anchor, *(case for case in cases if case is not anchor)]:
            try:
                _take_turns(case, anchor, settings, repeats, say)
            except UserError as error:
                log = getattr(error, "log", "")
                if case is anchor or not anchor.child.alive:
                    raise UserError(f"{log}\n{anchor}: {error}".strip()) from error
                case.failure = str(error)
                say(f"{log}\n{case}: left out, {case.failure}".strip())
            if case is not anchor:
                case.child.close()
    finally:
        for case in cases:
            if case.child:
                case.child.close()
    return anchor


def _start(case, settings):
    spec = {**settings, "method": case.method, "arguments": case.arguments, "jit": case.jit}
    # The anchor lives beside every other case: none may take a whole GPU.
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    if case.name != PEER:
        environment["KERAS_BACKEND"] = case.framework
    case.child = Child(_WORKER, spec, environment, keep_free=_FREE)
    return case.child.ask()


def _take_turns(case, anchor, settings, repeats, say):
    first = _start(case, settings)
    case.first_call_s, case.macs = first["first_call_s"], first["macs"]
    case.child.ask()
    for _ in range(repeats):
        beside = anchor.child.ask()["seconds"] if case is not anchor else None
        answer = case.child.ask()
        case.seconds.append(answer["seconds"])
        case.ratios.append(beside / answer["seconds"] if beside else 1.0)
        case.peak_mb = answer["peak_mb"]
        if beside:
            anchor.seconds.append(beside)
    say(
        f"{case}: first call {case.first_call_s:.1f} s, {statistics.median(case.ratios):.2f} times "
        f"the speed of {anchor}"
    )


def benchmark(
    out, backbone="swin_tiny", batch=32, repeats=5, methods=METHODS, backends=("tensorflow",),
    jit="both", peer=None, image_size=None, precision="float32", assume_device=None, say=print,
):  # fmt: skip
    """Measure, write `OUT/results.csv` and `OUT/results.md`, and return the rows.

    Args: see `make_cases` and `measure`.
        assume_device: name of an accelerator: what the same steps would do on it, compiled for it.

    Raises:
        UserError: unknown names, missing packages, or a folder that cannot be written.
    """
    check_name(backbone)
    cases = make_cases(methods, backends, jit, peer)
    if assume_device:
        accelerator(assume_device)
        check_compiler()
    _, arguments = preset_arguments(backbone)
    settings = {
        "backbone": backbone,
        "encoder": arguments,
        "peer": None if peer is None else str(peer),
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
    if assume_device:
        text += (
            f"\nAssumed, not run: {assume_device}, by a roofline of what XLA compiles for it\n\n"
        )
        same = {"backbone": backbone, "batch": batch, "precision": precision}
        text += assumed(methods, device=assume_device, image_size=image_size, **same) + "\n"
    (out / "results.md").write_text(text)
    say(f"\n{text}")
    return table

"""Several hosts as processes on loopback: they are started, stopped in the middle, and started again.

python hosts.py FOLDER [--hosts N] [--method NAME] [--half] [--stop TERM] [--stop KILL]
    a small run of N hosts (2) beside one of one host; with --stop beside one that is stopped in the
    middle (TERM: a SIGTERM to all hosts; KILL: kill -9 of the last one) and started again: how far
    they are apart, as lines of JSON. --half: in mixed_float16, with a probe after every epoch
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np

HERE = Path(__file__).parent
# Compiling takes most of the time on JAX, and optimising most of that.
FAST_XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def start(*args):
    """`parallel_runs.py` with these arguments, in a process."""
    environ = {**os.environ, "XLA_FLAGS": FAST_XLA}
    environ.pop("TF_CONFIG", None)
    return subprocess.Popen(
        [sys.executable, "parallel_runs.py", *map(str, args)],
        cwd=HERE, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def start_hosts(count, folder, *tasks):
    """Processes that train together, by index."""
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
    together = ",".join(addresses)
    return [start("host", together, index, folder, *tasks) for index in range(count)]


def finish(*children, timeout=1800):
    """Output of the children; all of them end here."""
    outputs, errors = _ended(children, timeout)
    for child, text in zip(children, errors, strict=True):
        assert child.returncode == 0, text[-3000:]
    return outputs


def stop(hosts, checkpoint, how, patience=120):
    """Stop hosts as soon as they have written a checkpoint; each one's exit code and last words.

    Args:
        checkpoint: its path. how: "TERM" or "KILL".
        patience: seconds that they are given to end; whoever still runs then is killed.
    """
    _wait_for(checkpoint, hosts)
    victims = hosts if how == "TERM" else hosts[-1:]
    for host in victims:
        host.send_signal(signal.SIGTERM if how == "TERM" else signal.SIGKILL)
    began, took = time.monotonic(), {}
    while len(took) < len(hosts) and time.monotonic() - began < patience:
        for index, host in enumerate(hosts):
            if index not in took and host.poll() is not None:
                took[index] = round(time.monotonic() - began, 1)
        time.sleep(0.1)
    _, errors = _ended(hosts, timeout=1)
    return [
        {"code": host.returncode, "after_s": took.get(index), "said": text[-300:]}
        for index, (host, text) in enumerate(zip(hosts, errors, strict=True))
    ]


def weights_of(folder, index):
    """The final weights that a host kept, as arrays."""
    with np.load(folder / f"weights_{index}.npz") as file:
        return [file[name] for name in file.files]


def apart(one, other):
    """The largest difference of two lists of arrays."""
    return max(float(abs(a - b).max()) for a, b in zip(one, other, strict=True))


def _ended(children, timeout):
    """What the children wrote, `(outputs, errors)`; those that take too long are killed."""
    outputs, errors = [], []
    try:
        for child in children:
            output, error = child.communicate(timeout=timeout)
            outputs.append(output)
            errors.append(error)
    except subprocess.TimeoutExpired:
        for child in children:
            child.kill()
        return _ended(children, timeout)
    finally:
        for child in children:
            child.kill()
    return outputs, errors


def _wait_for(path, hosts):
    while not path.exists():
        if any(host.poll() is not None for host in hosts):
            finish(*hosts, timeout=10)
        time.sleep(0.01)


def _free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [open_socket.getsockname()[1] for open_socket in sockets]
    for open_socket in sockets:
        open_socket.close()
    return ports


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--hosts", default=2)
@click.option("--method", default="eesmm")
@click.option("--half", is_flag=True)
@click.option("--stop", "ways", type=click.Choice(["TERM", "KILL"]), multiple=True)
def main(folder, hosts, method, half, ways):
    task, folder = f"{'half' if half else 'long'}:{method}", folder.absolute()
    (folder / "whole").mkdir(parents=True)
    finish(*start_hosts(hosts, folder / "whole", task))
    whole = [weights_of(folder / "whole", i) for i in range(hosts)]
    found = {"hosts_apart": max(apart(whole[0], other) for other in whole)}
    if not ways:
        finish(start("alone", folder / "whole", task))
        found["from_one_host"] = apart(whole[0], weights_of(folder / "whole", "alone"))
    _tell(task=task, hosts=hosts, last_metrics=_metrics(folder / "whole")[-1], **found)
    for how in ways:
        _stop_and_go_on(folder, hosts, task, how, whole[0])


def _stop_and_go_on(folder, hosts, task, how, whole):
    """`whole`: final weights of the undisturbed run, which is in the folder of that name."""
    stopped = folder / how
    stopped.mkdir()
    running = start_hosts(hosts, stopped, task)
    checkpoint = stopped / "run" / "checkpoints" / "step_000000005.npz"
    _tell(stop=how, ends=stop(running, checkpoint, how))
    chief, *_ = finish(*start_hosts(hosts, stopped, task))
    lines = [line for line in chief.splitlines() if "oing on" in line or "left by" in line]
    _tell(
        stop=how, said=lines,
        from_undisturbed=max(apart(whole, weights_of(stopped, i)) for i in range(hosts)),
        same_metrics=_metrics(folder / "whole") == _metrics(stopped),
    )  # fmt: skip


def _tell(**facts):
    print(json.dumps(facts), flush=True)


def _metrics(folder):
    """metrics.csv of a run without what depends on the clock."""
    lines = [line.split(",") for line in (folder / "run" / "metrics.csv").read_text().splitlines()]
    kept = [i for i, name in enumerate(lines[0]) if name not in ("images_per_second", "data_wait")]
    return [[row[i] for i in kept] for row in lines]


if __name__ == "__main__":
    main()

"""Which hosts train together, and which one this process is."""

import json
import os
import re
from dataclasses import dataclass

from eesmm_keras.errors import UserError

_SLURM = ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_STEP_NODELIST")
_ADDRESS = re.compile(r"[^\s:,]+:\d{1,5}")


@dataclass(frozen=True)
class Cluster:
    """Hosts that train one model. A host is one process: it may hold one GPU or several.

    Attributes:
        addresses: `host:port` of host 0, which is all that JAX needs, or of every host in order.
        hosts: number of hosts. index: of this one, from 0.
        slurm: whether Slurm's variables said so.
    """

    addresses: tuple
    hosts: int
    index: int
    slurm: bool = False

    @property
    def is_chief(self):
        """Whether this host writes the run's folder."""
        return self.index == 0


def find_cluster(coordinator=None, num_hosts=None, host_index=None, environ=None):
    """The cluster that options or the environment describe.

    Options win over `TF_CONFIG`. Slurm's variables are read only if `coordinator` is "slurm".

    Args:
        coordinator: `host:port` of host 0; those of all hosts, separated by commas; or "slurm".
        num_hosts, host_index: numbers.
        environ: the environment; None: this process's.

    Returns:
        `Cluster`, or None: this process trains alone.

    Raises:
        UserError: something is missing, unreadable or contradicts itself.
    """
    environ = os.environ if environ is None else environ
    if coordinator == "slurm":
        if (num_hosts, host_index) != (None, None):
            raise UserError("--coordinator slurm knows --num-hosts and --host-index: leave them.")
        return _checked(*_from_slurm(environ), slurm=True)
    if coordinator:
        addresses = tuple(part.strip() for part in coordinator.split(","))
        if num_hosts is None and len(addresses) > 1:
            num_hosts = len(addresses)
        if num_hosts is None or host_index is None:
            raise UserError(
                "--coordinator needs --num-hosts N and --host-index I: how many processes train "
                "together, and which of them, from 0, this one is."
            )
        return _checked(addresses, num_hosts, host_index)
    if (num_hosts, host_index) != (None, None):
        raise UserError(
            "--num-hosts and --host-index need --coordinator host:port, that of host 0."
        )
    if environ.get("TF_CONFIG"):
        return _checked(*_from_tf_config(environ["TF_CONFIG"]))
    return None


def _from_tf_config(text):
    try:
        config = json.loads(text)
        if not isinstance(config, dict) or not config.get("cluster"):
            return (), 1, 0
        cluster, task = config["cluster"], config["task"]
        workers = [*cluster.get("chief", ()), *cluster["worker"]]
        index = int(task["index"]) + (len(cluster.get("chief", ())) if _is_worker(task) else 0)
        return tuple(workers), len(workers), index
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            'TF_CONFIG must be {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", '
            f'"index": 0}}}}, got {text!r}. Correct it, or unset it to train on this machine alone.'
        ) from error


def _is_worker(task):
    if task["type"] not in ("chief", "worker"):
        raise ValueError(task["type"])
    return task["type"] == "worker"


def _from_slurm(environ):
    missing = [name for name in _SLURM if not environ.get(name)]
    if missing:
        raise UserError(
            f"--coordinator slurm: {', '.join(missing)} is not set. Start the command with srun, "
            "inside a job (eesmm docs scaling has the lines)."
        )
    # `gpu[01-04,07],other`: the first host is the prefix with the first number.
    nodes = environ["SLURM_STEP_NODELIST"]
    first = re.match(r"([^\[,]+)(?:\[(\d+))?", nodes)
    # A port of the job's own, so that jobs that share a machine do not meet.
    port = 61440 + int(environ["SLURM_JOB_ID"]) % 4096
    address = f"{first[1]}{first[2] or ''}:{port}"
    return (address,), int(environ["SLURM_NTASKS"]), int(environ["SLURM_PROCID"])


def _checked(addresses, hosts, index, slurm=False):
    if hosts == 1:
        return None
    for address in addresses:
        if not _ADDRESS.fullmatch(address):
            raise UserError(
                f"--coordinator takes host:port, such as 10.0.0.1:12345; got {address!r}."
            )
    if hosts < 1 or not 0 <= index < hosts:
        raise UserError(
            f"--host-index must lie between 0 and {max(hosts - 1, 0)}, one less than --num-hosts "
            f"{hosts}; got {index}."
        )
    if len(addresses) not in (1, hosts):
        raise UserError(
            f"--coordinator names {len(addresses)} hosts, but there are {hosts}: name host 0 alone, "
            "or all of them."
        )
    return Cluster(tuple(addresses), hosts, index, slurm)

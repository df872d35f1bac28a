"""Who trains together: options, TF_CONFIG and Slurm, in that order."""

import json

import pytest

from eesmm_keras.errors import UserError
from eesmm_keras.training.cluster import Cluster, find_cluster

TF_CONFIG = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
SLURM = {
    "SLURM_JOB_ID": "4097",
    "SLURM_NTASKS": "3",
    "SLURM_PROCID": "2",
    "SLURM_STEP_NODELIST": "gpu[07-08],other",
}


def tf_config(**changes):
    return {"TF_CONFIG": json.dumps({**TF_CONFIG, **changes})}


def test_nothing_said_is_no_cluster():
    assert find_cluster(environ={}) is None
    # Slurm sets its variables in every job: only a word on the command line makes a cluster.
    assert find_cluster(environ=SLURM) is None
    assert find_cluster("a:1", 1, 0, environ={}) is None


def test_options_win_over_tf_config():
    assert find_cluster(environ=tf_config()) == Cluster(("a:1", "b:1"), 2, 1)
    assert find_cluster("c:1", 2, 0, environ=tf_config()) == Cluster(("c:1",), 2, 0)
    assert find_cluster("c:1, d:1", None, 1, environ={}) == Cluster(("c:1", "d:1"), 2, 1)


def test_a_chief_stands_before_the_workers():
    cluster = {"chief": ["c:1"], "worker": ["a:1"]}
    worker = find_cluster(environ=tf_config(cluster=cluster, task={"type": "worker", "index": 0}))
    assert worker == Cluster(("c:1", "a:1"), 2, 1)
    assert not worker.is_chief


def test_slurm_names_the_first_node_and_a_port_of_the_job():
    cluster = find_cluster("slurm", environ=SLURM)
    assert cluster == Cluster(("gpu07:61441",), 3, 2, slurm=True)
    one = {**SLURM, "SLURM_STEP_NODELIST": "node3"}
    assert find_cluster("slurm", environ=one).addresses == ("node3:61441",)


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (("a:1",), {}, "needs --num-hosts N and --host-index"),
        ((None, 2, 0), {}, "need --coordinator host:port"),
        (("a", 2, 0), {}, "takes host:port"),
        (("a:1", 2, 2), {}, "between 0 and 1"),
        (("a:1,b:1", 3, 0), {}, "names 2 hosts, but there are 3"),
        (("slurm",), {}, "SLURM_PROCID.* is not set"),
        (("slurm", 2), SLURM, "leave them"),
        ((), {"TF_CONFIG": "{"}, "TF_CONFIG must be"),
        ((), tf_config(task={"type": "ps", "index": 0}), "TF_CONFIG must be"),
    ],
)
def test_what_does_not_fit_is_named(arguments, environ, message):
    with pytest.raises(UserError, match=message):
        find_cluster(*arguments, environ=environ)

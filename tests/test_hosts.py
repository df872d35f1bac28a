"""What hosts that train together agree on, tried without any."""

from types import SimpleNamespace

import pytest

from eesmm_keras.errors import Interrupted
from eesmm_keras.training.cluster import Cluster
from eesmm_keras.training.devices import Devices
from eesmm_keras.training.job import run
from eesmm_keras.training.loop import Saver
from eesmm_keras.training.position import Position
from eesmm_keras.training.run_config import asked_config
from eesmm_keras.training.runs import Run

CLUSTER = Cluster(("a:1", "b:1"), 2, 1)


class Hosts(Devices):
    """This host and another one, which was told to stop when it has been asked so often."""

    def __init__(self, asked_before):
        super().__init__(2, CLUSTER)
        self.asked, self.asked_before = [], asked_before

    def any_host(self, flag):
        self.asked.append(bool(flag))
        return flag or len(self.asked) > self.asked_before


@pytest.mark.parametrize(
    ("signals", "other_after", "stopped_at", "by"),
    [({11: "SIGTERM"}, 100, 16, "SIGTERM"), ({}, 2, 20, "a signal to another host")],
)
def test_hosts_stop_after_the_same_step(signals, other_after, stopped_at, by):
    """They ask each other every eight steps and at the end of an epoch, of 20 steps here."""
    saved, devices, stop = [], Hosts(other_after), SimpleNamespace(received="")
    checkpoints = SimpleNamespace(folder="run", save=lambda step, model, facts: saved.append(step))
    position = Position(20)
    guard = SimpleNamespace(catch_up=lambda: None, in_bad_row=False)
    saver = Saver(position, checkpoints, ("epochs", 9), stop, devices, guard, {})
    saver.set_model(None)

    def train():
        for step in range(1, 60):
            stop.received = signals.get(step, stop.received)
            position.step = step
            saver.on_train_batch_end(step)
            if not position.in_epoch:
                saver.on_epoch_end(0)

    with pytest.raises(Interrupted, match=f"Stopped by {by} after step {stopped_at};"):
        train()
    assert saved == [stopped_at]
    assert len(devices.asked) == {16: 2, 20: 3}[stopped_at]


def test_a_finished_run_is_finished_on_all_hosts(tmp_path):
    """The other hosts write elsewhere: they would train on, and wait for the first one."""
    devices, said = Devices(2, CLUSTER), []
    devices.out = tmp_path / "run"
    devices.out.mkdir()
    (devices.out / "model.keras").touch()
    job = SimpleNamespace(build=lambda: None, batches=lambda start: None, derived=dict)
    asked = asked_config("pretrain", {"data": "digits", "seed": 0})
    assert run(job, asked, Run(tmp_path / "own"), devices, said.append) is None
    assert "is finished" in said[0]

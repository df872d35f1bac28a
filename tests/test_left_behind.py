"""Ctrl-C before the first step, or a second one: what is left of the run is said."""

import pytest

from eesmm_keras.cli import main as cli
from eesmm_keras.training import beforehand, loop
from eesmm_keras.training.left_behind import left_behind
from small_runs import DIGITS, SMALL


def interrupted(*args, **options):
    raise KeyboardInterrupt


def test_the_state_is_read_from_the_folder(tmp_path):
    assert left_behind(tmp_path / "no") == f"Nothing is in {tmp_path / 'no'} yet: the same command " \
        "begins anew."  # fmt: skip
    (tmp_path / "config.yaml").touch()
    assert "no checkpoint yet: the same command begins anew" in left_behind(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "partial-1").touch()
    assert "no checkpoint yet" in left_behind(tmp_path)
    (tmp_path / "checkpoints" / "step_000000000.npz").touch()
    assert "before its first step: the same command begins anew" in left_behind(tmp_path)
    (tmp_path / "checkpoints" / "step_000000120.npz").touch()
    assert "is of step 120" in left_behind(tmp_path)
    assert "goes on from there" in left_behind(tmp_path)
    (tmp_path / "model.keras").touch()
    assert left_behind(tmp_path).endswith("model.keras is there: the run had finished.")


@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_a_command_that_is_stopped_at_once_says_it(kind, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    call = [kind, *DIGITS, "--backbone", SMALL, "--out", str(out)]
    call += ["--weights", "none"] if kind == "finetune" else ["--method", "simmim"]

    def told():
        with pytest.raises(SystemExit) as leave:
            cli.main(call)
        assert leave.value.code == 130
        return capsys.readouterr().err

    with monkeypatch.context() as patch:
        patch.setattr(beforehand, "check_settings", interrupted)
        assert told() == f"\nStopped. Nothing is in {out} yet: the same command begins anew.\n"
    assert not out.exists()
    monkeypatch.setattr(loop, "train", interrupted)
    state = f"{out} holds the settings, and no checkpoint yet: the same command begins anew."
    assert told() == f"\nStopped. {state}\n"
    assert (out / "config.yaml").is_file()
    assert not (out / "lock").exists()

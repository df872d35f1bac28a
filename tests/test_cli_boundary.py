"""No exception of any kind shows a traceback: what each one says, and with which status it ends."""

import errno
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import pytest

from conftest import hide_package
from eesmm_keras.cli import main as cli
from eesmm_keras.errors import Interrupted, UserError


class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text either")


class Foreign(BaseException):
    """As extension modules raise where they panic."""


@pytest.fixture
def outcome(monkeypatch, capfd, tmp_path):
    """Function: what `eesmm list methods` says, and its status, where it raises an exception."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def run(error, *flags):
        def fail(what):
            raise error

        command = click.command("list")(click.argument("what")(fail))
        monkeypatch.setattr(cli.LazyGroup, "get_command", lambda self, ctx, name: command)
        with pytest.raises(SystemExit) as leave:
            cli.main([*flags, "list", "methods"])
        return leave.value.code, capfd.readouterr().err

    return run


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (UserError("Take another."), 2, "Error: Take another.\n"),
        (Interrupted("Stopped at step 3."), 75, "Stopped at step 3.\n"),
        (KeyboardInterrupt(), 130, "\nStopped.\n"),
        (KeyboardInterrupt("Stopped. All is there."), 130, "\nStopped. All is there.\n"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a"), 2,
         "Error: runs/a: No space left on device.\n"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2,
         "Error: x: Permission denied.\n"),
        (SystemExit(3), 3, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_was_foreseen(outcome, tmp_path, error, status, message):
    assert outcome(error) == (status, message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("first\nsecond"), "Error: ValueError: first second.\n"),
        (ValueError("x" * 5000), "Error: ValueError: xxx"),
        (KeyError(), "Error: KeyError.\n"),
        (NoText(), "Error: NoText.\n"),
        (RecursionError("too deep"), "Error: RecursionError: too deep.\n"),
        (EOFError(), "Error: RuntimeError: a file ended too early.\n"),
        (Foreign("panic"), "Error: Foreign: panic.\n"),
        (MemoryError(), "Error: the memory is full (MemoryError). A smaller --batch-size"),
        (RuntimeError("RESOURCE_EXHAUSTED: of device"), "Error: the memory is full (RuntimeError"),
        (
            OSError(errno.EINVAL, "Invalid argument"),
            "Error: OSError: [Errno 22] Invalid argument.\n",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_was_not_foreseen_goes_to_a_file(outcome, tmp_path, error, message):
    status, text = outcome(error)
    assert status == 1
    assert text.startswith(message)
    assert "Traceback" not in text
    assert len(text) < 700
    (file,) = tmp_path.iterdir()
    assert f"The details are in {file}: please report it" in text
    details = file.read_text()
    assert "Traceback" in details
    assert "def run(error" not in details
    assert type(error).__name__ in details


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "tensorflw",
            "KERAS_BACKEND=tensorflw: Unknown backend of Keras 'tensorflw'. Did you mean",
        ),
        ("jax", "KERAS_BACKEND=jax, and jax is not installed: pip install 'eesmm-keras[jax]'"),
    ],
)
def test_a_backend_that_is_not_there(monkeypatch, name, message):
    hide_package("jax", monkeypatch)
    with pytest.raises(UserError, match=re.escape(message)):
        cli.check_backend(name)


@pytest.mark.parametrize("variable", [False, True])
def test_debug_shows_it(outcome, tmp_path, monkeypatch, variable):
    flags = ["--debug"]
    if variable:
        monkeypatch.setenv("EESMM_DEBUG", "1")
        flags = []
    status, text = outcome(ValueError("inside"), *flags)
    assert status == 1
    assert re.search(r"Traceback.*\nValueError: inside\nError: ValueError: inside.\n$", text, re.S)
    status, text = outcome(UserError("of a user"), *flags)
    assert status == 2
    assert re.search(r"Traceback.*\nError: of a user\n$", text, re.S)
    assert not list(tmp_path.iterdir())


def test_where_no_file_can_be_written(outcome, monkeypatch):
    def full(**options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    status, text = outcome(ValueError("inside"))
    assert status == 1
    assert "cannot be written down (OSError); eesmm --debug shows them" in text


def test_a_reader_that_has_enough_and_a_full_disk():
    """`eesmm list settings | head -1`, and into a device that takes nothing."""
    command = f"{sys.executable} -m eesmm_keras.cli.main list settings"
    run = subprocess.run(["bash", "-c", f"{command} | head -1"], capture_output=True, text=True)
    assert run.stdout == "pretrain and finetune:\n"
    assert run.stderr == ""
    if Path("/dev/full").exists():
        run = subprocess.run(
            ["bash", "-c", f"{command} > /dev/full"], capture_output=True, text=True
        )
        assert run.returncode == 2
        assert run.stderr == "Error: No space left on device.\n"

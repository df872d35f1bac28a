"""Beyond this boundary no exception shows a traceback: a user sees what happened in a line or two."""

import contextlib
import errno
import os
import platform
import sys
import tempfile
import traceback

import click

from eesmm_keras._version import __version__
from eesmm_keras.errors import Interrupted, UserError

# What goes wrong with files for reasons that lie outside this program.
_FILES = {
    getattr(errno, name)
    for name in (
        "EACCES", "EPERM", "ENOENT", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP", "ENOSPC",
        "EDQUOT", "EROFS", "EFBIG", "EMFILE", "ENFILE", "EIO", "ESTALE", "ETXTBSY",
    )
    if hasattr(errno, name)
}  # fmt: skip
# How the backends say that a device has no memory left.
_MEMORY = ("RESOURCE_EXHAUSTED", "ResourceExhausted", "OutOfMemory", "OOM when allocating")


def exit_status_of(run, state):
    """Exit status of `run()`, after its failure, if any, was told.

    Args:
        run: function without arguments: a command.
        state: dict; "debug": whether tracebacks are shown.
    """
    try:
        run()
        sys.stdout.flush()
        return 0
    except SystemExit as leave:
        return leave.code
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except BrokenPipeError:
        # Who read the output (`| head`) has enough. Python would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except BaseException as error:  # "no exception of any kind"
        if state.get("debug"):
            with contextlib.suppress(Exception):
                traceback.print_exc()
        return _told(error, state.get("debug"))


def _told(error, debug):
    """Exit status of an exception; its message goes to stderr."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        stop = error.__cause__ if isinstance(error, click.Abort) else error
        click.echo(str(stop or "") or "Stopped.", err=True)
        return 130
    if isinstance(error, Interrupted):
        click.echo(str(error), err=True)
        return error.exit_code
    if isinstance(error, UserError):
        click.echo(f"Error: {error}", err=True)
        return 2
    if isinstance(error, OSError) and error.errno in _FILES:
        where = f"{error.filename}: " if error.filename is not None else ""
        click.echo(f"Error: {where}{error.strerror}.", err=True)
        return 2
    _tell_unexpected(error, debug)
    return 1


def _tell_unexpected(error, debug):
    what = f"{type(error).__name__}: {_one_line(error)}".rstrip(": ")
    if isinstance(error, MemoryError) or any(word in what for word in _MEMORY):
        what = f"the memory is full ({what}). A smaller --batch-size or --image-size takes less"
    if debug:
        click.echo(f"Error: {what}.", err=True)
        return
    try:
        path = _write_down(error)
    except Exception as reason:  # the disk may be full, or the memory
        told = f"cannot be written down ({type(reason).__name__}); eesmm --debug shows them"
    else:
        told = f"are in {path}"
    click.echo(
        f"Error: {what}.\nThis was not foreseen. The details {told}: please report it with them.",
        err=True,
    )


def _one_line(error):
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception of somebody else's, without a text
        return ""
    return text if len(text) <= 300 else f"{text[:296]} ..."


def _write_down(error):
    """Path of a new file with the traceback, in the folder for temporary files or in this one."""
    lines = [
        f"eesmm {__version__}, Python {platform.python_version()}, {platform.platform()}\n",
        f"backend: {os.environ.get('KERAS_BACKEND')}\n",
        f"command: {sys.argv}\n\n",
        *traceback.format_exception(error),
    ]
    number, path = tempfile.mkstemp(prefix="eesmm-error-", suffix=".txt", text=True)
    with open(number, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(lines)
    return path

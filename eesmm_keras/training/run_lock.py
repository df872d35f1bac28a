"""One process at a time writes a run's folder."""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import socket

from eesmm_keras.errors import UserError

# What file systems answer that know no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class RunLock:
    """A lock on a file, held while this context is open; the file names its owner.

    The kernel frees the lock however its owner ends, so what `kill -9` or a power cut leaves behind is
    a file that nobody holds: the next process takes it over. On a file system without locks, the
    owner's name in the file has to do: a process of this machine that has gone holds nothing.

    Args:
        path: of the file, which is removed at the end.

    Attributes:
        left_by: "process 12 on node3" where the last owner ended without removing the file; or "".

    Raises:
        UserError: on entering, if another process holds the lock.
    """

    def __init__(self, path):
        self.path, self.left_by = path, ""
        self._descriptor = None

    def __enter__(self):
        while self._descriptor is None:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                self._lock(descriptor)
                # Its owner may have removed the file after this process had opened it.
                if self._is_in_place(descriptor):
                    self._descriptor = descriptor
            finally:
                if self._descriptor is None:
                    os.close(descriptor)
        self.left_by = _in_words(_read_owner(self._descriptor))
        self._write_owner()
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError):  # the folder may have vanished
            self.path.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def _lock(self, descriptor):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._in_use(_read_owner(descriptor)) from None
        except OSError as error:
            owner = _read_owner(descriptor)
            if error.errno not in _NO_LOCKS:
                raise
            if owner and not _has_gone(owner):
                raise self._in_use(owner, remove=True) from None

    def _is_in_place(self, descriptor):
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _write_owner(self):
        owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(owner).encode(), 0)

    def _in_use(self, owner, remove=False):
        who = _in_words(owner) or "another process"
        since = f" since {owner['since']}" if owner.get("since") else ""
        hint = f" If that process has gone, remove {self.path}." if remove else ""
        return UserError(
            f"{self.path.parent} is in use: {who} writes this run{since}. Wait until it has finished, "
            "or stop it; the same command then goes on with the run. Or choose another --out."
            + hint
        )


def _read_owner(descriptor):
    """Dict that the owner wrote; empty if there is none or it cannot be read."""
    try:
        owner = json.loads(os.pread(descriptor, 1000, 0))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _in_words(owner):
    return f"process {owner.get('pid')} on {owner.get('host')}" if owner else ""


def _has_gone(owner):
    """Whether the owner was a process of this machine that is no more."""
    pid = owner.get("pid")
    if owner.get("host") != socket.gethostname() or not isinstance(pid, int) or pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # somebody else's process
        return False
    return pid == os.getpid()

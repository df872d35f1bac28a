"""Work in a process of its own: one line of JSON asks, one line of JSON answers.

A child is a module that ends with `serve(handler)` and is run by `python -m`. `handler(spec)` returns
its answer, a dict; or it yields one answer after the other, as often as it is asked.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

from eesmm_keras.errors import UserError

# Lines of a child's messages that are worth repeating where it broke down.
_LAST = 8


class ChildFailed(UserError):
    """A child process ended without an answer. `log`: the last lines of what it said."""

    def __init__(self, reason, log=""):
        super().__init__(reason)
        self.log = log


class Child:
    """A child process, a context: it is killed at the end of the block.

    Args:
        module: dotted name of its module.
        spec: dict of JSON types, what `handler` gets.
        environment: dict of variables beside those of this process.
        keep_free: share of the machine's memory, 0..1; the child is killed when less is left.
    """

    def __init__(self, module, spec, environment=None, keep_free=0.0):
        self._next, self._keep_free = spec, keep_free
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the child)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    @property
    def alive(self):
        return self._process.poll() is None

    def ask(self):
        """The next answer.

        Raises:
            UserError: what the child raised, word by word.
            ChildFailed: it broke down, or was killed for want of memory.
        """
        request, self._next = self._next, None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error
        while not select.select([self._process.stdout], [], [], 0.2)[0]:
            memory = free_memory()
            if memory and memory[0] < self._keep_free * memory[1]:
                self._process.kill()
                raise ChildFailed("it takes too much of the memory")
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        reply = json.loads(line)
        if "error" in reply:
            raise UserError(reply["error"])
        return reply["answer"]

    def _ended(self):
        status = self._process.wait()
        self._log.seek(0)
        lines = [line for line in self._log.read().splitlines() if line.strip()]
        last = f": {lines[-1].strip()}" if lines else ""
        return ChildFailed(f"it ended with status {status}{last}", "\n".join(lines[-_LAST:]))

    def close(self):
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(OSError):  # a request that nobody reads any more
                stream.close()


def ask(module, spec, environment=None, keep_free=0.0):
    """The one answer of a child process; see `Child` for the arguments and errors."""
    with Child(module, spec, environment, keep_free) as child:
        return child.ask()


def serve(handler):
    """The child's side: answer until nobody asks. What is printed goes to the parent's log."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def send(**reply):
        answers.write(json.dumps(reply) + "\n")
        answers.flush()

    try:
        result = handler(json.loads(sys.stdin.readline()))
        for answer in [result] if isinstance(result, dict) else result:
            send(answer=answer)
            if not sys.stdin.readline():
                return
    except UserError as error:
        send(error=str(error))


def free_memory():
    """`(available, total)` bytes of the machine's memory, or None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    values = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return values["MemAvailable"], values["MemTotal"]

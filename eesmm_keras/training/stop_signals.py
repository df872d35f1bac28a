"""Signals that ask a run to stop: noted, answered on the screen at once, obeyed after the step."""

import contextlib
import signal
import socket
import threading

_ANSWERS = {
    signal.SIGINT: "Stopping after this step, with a checkpoint. Ctrl-C again stops at once.",
    signal.SIGTERM: "SIGTERM: stopping after this step, with a checkpoint.",
}


class StopSignals:
    """While this context is open, SIGTERM and SIGINT are noted in `received`, not obeyed at once.

    A second SIGINT is obeyed. Outside of the main thread, signals stay as they are. (TensorFlow and JAX
    note SIGTERM themselves where hosts train together, and go on: Slurm would kill them half a minute
    later.)

    Args:
        say: takes a line for the screen, from another thread, as soon as a first signal comes. Python
            calls handlers between its own instructions only, and a first step is compiled for long
            in one of them.
    """

    def __init__(self, say=print):
        self.received = ""
        self._say = say
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._wake, listen = socket.socketpair()
            self._wake.setblocking(False)
            self._woken_before = signal.set_wakeup_fd(
                self._wake.fileno(), warn_on_full_buffer=False
            )
            self._thread = threading.Thread(
                target=self._answer, args=(listen,), daemon=True, name="stop signals"
            )
            self._thread.start()
            for number in _ANSWERS:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def _answer(self, listen):
        """Answer the first signal; ends with the context, which closes the other end."""
        answered = False
        while number := listen.recv(1):
            answer = _ANSWERS.get(number[0])
            if answer and not answered:
                answered = True
                with contextlib.suppress(OSError):
                    self._say(f"\n{answer}")
        listen.close()

    def _note(self, number, frame):
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._previous:
            signal.set_wakeup_fd(self._woken_before)
            self._wake.close()
            self._thread.join(timeout=1)

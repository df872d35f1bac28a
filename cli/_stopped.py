"""What is said where a run is stopped at once, with Ctrl-C, and cannot end its step."""

import contextlib


@contextlib.contextmanager
def stop_is_told(out):
    """While the block runs, a KeyboardInterrupt says what is left in the folder of the run, `out`."""
    try:
        yield
    except KeyboardInterrupt as stop:
        from eesmm_keras.training.left_behind import left_behind

        raise KeyboardInterrupt(f"Stopped. {left_behind(out)}") from stop

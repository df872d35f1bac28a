"""Child processes and quiet output."""

import os


def child_environment():
    """The environment of a child: TensorFlow backend, on the CPU, few messages.

    On the CPU because another framework may hold the accelerator's memory, and because TF32
    products there would blur the comparison.
    """
    return {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def last_lines(done, count=5):
    """The end of what a finished child process said on stderr, for an error message."""
    lines = done.stderr.strip().splitlines()
    return "\n".join(lines[-count:]) or f"exit status {done.returncode}"

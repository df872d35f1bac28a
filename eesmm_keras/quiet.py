"""Keeping other libraries' logs off the screen."""

import contextlib
import logging
import os
import sys
import warnings


@contextlib.contextmanager
def quiet():
    """Silence stderr and Python's logging in the block.

    TensorFlow's C++ side writes to the file descriptor, past Python's `sys.stderr`.
    """
    sys.stderr.flush()
    kept, level = os.dup(2), logging.root.manager.disable
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 2)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def load_backend():
    """Import Keras, its backend and TensorFlow (for tf.data) without their start-up notes."""
    with quiet():
        import keras
        import tensorflow  # noqa: F401
    # Said of things that are meant: the last validation batch is smaller, and its end not known.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="Your input ran out of data")
    return keras.backend.backend()

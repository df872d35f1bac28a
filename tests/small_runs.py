"""The real command on a tiny encoder, for tests of what a run leaves in its folder."""

import signal
from unittest import mock

from click.testing import CliRunner

from eesmm_keras.cli import main as cli
from eesmm_keras.errors import Interrupted, UserError
from eesmm_keras.training import loop

SMALL = (
    "swin_mini_32:image_shape=[16, 16, 3]:depths=[1, 1]:num_heads=[1, 1]:embed_dim=8:patch_size=2"
)
_COMMON = [
    "pretrain",
    "--method",
    "simmim",
    "--backbone",
    SMALL,
    "--epochs",
    "2",
    "--batch-size",
    "4",
]
_COMMON += ["--checkpoint-every", "1", "--set", "checkpoint_keep=4"]
DIGITS = ["--data", "digits", "--set", "limit=20", "--steps-per-epoch", "2"]
_SECONDS = 120


def command(out, *arguments):
    """`(exit status, output)` of the command, as the shell sees them; no longer than a while."""

    def too_long(number, frame):
        raise AssertionError("The command hangs.")

    previous = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(_SECONDS)
    try:
        result = CliRunner().invoke(
            cli.group, [*_COMMON, *(arguments or DIGITS), "--out", str(out)]
        )
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    if isinstance(result.exception, Interrupted):
        return 75, str(result.exception)
    if isinstance(result.exception, UserError):
        return 2, str(result.exception)
    if result.exception:
        raise result.exception
    return 0, result.output


def stopped_after(steps):
    """A context in which a signal comes while that step runs."""

    class Stop(loop.StopSignals):
        looks = 0

        @property
        def received(self):
            # The saver looks once a step.
            self.looks += 1
            return "SIGTERM" if self.looks >= steps else ""

        @received.setter
        def received(self, value):
            pass

    return mock.patch.object(loop, "StopSignals", Stop)

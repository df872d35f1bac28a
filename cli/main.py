"""Entry point of the `eesmm` command."""

import importlib
import importlib.util
import os
import sys

import click

from eesmm_keras._version import __version__
from eesmm_keras.cli._boundary import exit_status_of
from eesmm_keras.errors import UserError

COMMANDS = (
    "prepare", "pretrain", "finetune", "evaluate", "predict", "embed", "neighbours", "report", "export",
    "push", "reconstruct", "doctor", "benchmark", "compare", "reproduce", "list", "docs", "demo",
)  # fmt: skip


class LazyGroup(click.Group):
    """Imports a command's module when it is asked for: `eesmm_keras.cli.NAME`, its `command`."""

    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, name):
        if name not in COMMANDS:
            return None
        module = "list_" if name == "list" else name
        return importlib.import_module(f"eesmm_keras.cli.{module}").command

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except EOFError as error:
            # click would take it for a Ctrl-D at a prompt, and there is no prompt.
            raise RuntimeError("a file ended too early") from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="eesmm")
@click.option("--debug", is_flag=True, envvar="EESMM_DEBUG", help="Show where an error came from.")
@click.pass_context
def group(ctx, debug):
    """Pre-train a vision encoder on unlabelled images, fine-tune it, export it.

    \b
    eesmm demo                                  everything once, on photographs with 5 labels per class
    eesmm pretrain --data IMAGES --out RUN      images without labels -> encoder
    eesmm finetune --data LABELLED --weights RUN --out RUN2
    eesmm export --weights RUN2 --format onnx --out model.onnx

    The backend is chosen by KERAS_BACKEND: tensorflow (default), jax or torch.
    """
    ctx.ensure_object(dict)["debug"] = debug
    check_backend(os.environ.get("KERAS_BACKEND", "tensorflow"))


def check_backend(name):
    """Raise a UserError where KERAS_BACKEND names no backend, or one that is not installed."""
    if name == "tensorflow":  # a dependency, and the usual case
        return
    from eesmm_keras.names import BACKENDS, unknown_name

    if name not in BACKENDS:
        raise UserError(f"KERAS_BACKEND={name}: {unknown_name('backend of Keras', name, BACKENDS)}")
    if importlib.util.find_spec(name) is None:
        raise UserError(
            f"KERAS_BACKEND={name}, and {name} is not installed: pip install 'eesmm-keras[{name}]', or "
            "unset KERAS_BACKEND, which stands for tensorflow."
        )


def main(arguments=None):
    """Run the command with `arguments` (None: those of the process) and exit with its status."""
    # Before TensorFlow is imported: its start-up notes are of no use to anybody here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    state = {}

    def run():
        group.main(arguments, prog_name="eesmm", standalone_mode=False, obj=state)

    sys.exit(exit_status_of(run, state))


if __name__ == "__main__":
    main()

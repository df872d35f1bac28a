"""Entry point of the `eesmm` command."""

import importlib
import os
import sys

import click

from eesmm_keras._version import __version__
from eesmm_keras.errors import Interrupted, UserError

COMMANDS = (
    "pretrain", "finetune", "evaluate", "export", "reconstruct", "doctor", "benchmark", "compare",
    "list", "demo",
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


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="eesmm")
def group():
    """Pre-train a vision encoder on unlabelled images, fine-tune it, export it.

    \b
    eesmm demo                                  everything once, on handwritten digits
    eesmm pretrain --data IMAGES --out RUN      images without labels -> encoder
    eesmm finetune --data LABELLED --weights RUN --out RUN2
    eesmm export --weights RUN2 --format onnx --out model.onnx

    The backend is chosen by KERAS_BACKEND: tensorflow (default), jax or torch.
    """


def main():
    # Before TensorFlow is imported: its start-up notes are of no use to anybody here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        group.main(prog_name="eesmm", standalone_mode=False)
    except Interrupted as stop:
        click.echo(str(stop), err=True)
        sys.exit(stop.exit_code)
    except UserError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)


if __name__ == "__main__":
    main()

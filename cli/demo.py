import click

from eesmm_keras.cli._types import PATH


@click.command("demo")
@click.option(
    "--out", type=PATH, default="runs/demo", show_default=True, metavar="DIR", help="New folder."
)
def command(out):
    """Everything once, in minutes: pretrain on photographs, fine-tune on 5 labels per class, export."""
    from eesmm_keras.cli._demo import run_demo

    run_demo(out)

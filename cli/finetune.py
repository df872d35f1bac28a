import click

from eesmm_keras.cli._families import MemberOf
from eesmm_keras.cli._options import settings_from, training_options
from eesmm_keras.cli._report import leave_report
from eesmm_keras.cli._stopped import stop_is_told
from eesmm_keras.training.settings import FinetuneSettings


@click.command("finetune")
@training_options(FinetuneSettings, required=("data", "weights", "out"))
@click.option(
    "--task",
    "task_name",
    type=MemberOf("eesmm_keras.tasks:TASKS"),
    help="What it learns from the labels. Default: image_classifier.",
)
def command(**options):
    """Fine-tune an encoder on images in class folders.

    \b
    eesmm finetune --data labelled/ --weights runs/photos --out runs/classifier
    eesmm finetune --data labelled/ --weights none --backbone swin_tiny --out runs/scratch
    """  # fmt: skip
    with stop_is_told(options["out"]):
        settings = settings_from("finetune", **options)
        from eesmm_keras.training.finetuning import finetune

        run, scores = finetune(settings, say=click.echo)
    if not run.exists:  # a host that writes nothing
        return
    click.echo()
    for name, value in scores.items():
        click.echo(f"Validation {name} {value:.4f}")
    click.echo(f"Model       {run.model_path}\nMetrics     {run.metrics_path}")
    leave_report(run.path)
    click.echo(f"Next: eesmm export --weights {run.path} --format onnx --out {run.path}.onnx")

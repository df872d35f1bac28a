import click

from eesmm_keras.cli._options import data_option, settings_from, training_options


@click.command("finetune")
@data_option
@click.option(
    "--weights",
    required=True,
    metavar="RUN|FILE|none",
    help="Pre-trained encoder; none: random weights.",
)
@training_options
def command(**options):
    """Fine-tune an encoder on images in class folders.

    \b
    eesmm finetune --data labelled/ --weights runs/photos --out runs/classifier
    eesmm finetune --data labelled/ --weights none --backbone swin_tiny --out runs/scratch
    """  # fmt: skip
    settings = settings_from("finetune", **options)
    from eesmm_keras.training.finetuning import finetune

    run, accuracy = finetune(settings, say=click.echo)
    if not run.exists:  # a host that writes nothing
        return
    click.echo(f"\nValidation accuracy {accuracy:.4f}")
    click.echo(f"Classifier  {run.model_path}\nMetrics     {run.metrics_path}")
    click.echo(f"Next: eesmm export --weights {run.path} --format onnx --out {run.path}.onnx")

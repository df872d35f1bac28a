import click

from eesmm_keras.cli._options import settings_from, training_options
from eesmm_keras.cli._report import leave_report
from eesmm_keras.cli._stopped import stop_is_told
from eesmm_keras.training.settings import PretrainSettings


@click.command("pretrain")
@training_options(PretrainSettings, required=("data", "out"))
def command(**options):
    """Pre-train an encoder on images without labels.

    Without --backbone, --recipe and --init-from, method, encoder, image size, learning rate and epochs
    are chosen from the images and the machine, and the defaults below do not hold for them.

    \b
    eesmm pretrain --data photos/ --out runs/photos --backbone swin_tiny --epochs 100
    eesmm pretrain --data photos/ --out runs/b --recipe eesmm_swin_base_224 --gpus 4
    eesmm pretrain --data digits --out runs/d --set num_mixed=3 --set mask_ratio=0.6
    """
    with stop_is_told(options["out"]):
        settings = settings_from("pretrain", **options)
        from eesmm_keras.training.pretraining import pretrain

        run = pretrain(settings, say=click.echo)
    if not run.exists:  # a host that writes nothing
        return
    click.echo(
        f"\nEncoder     {run.model_path}\nPictures    {run.pictures}\n"
        f"Metrics     {run.metrics_path}"
    )
    leave_report(run.path)
    click.echo(
        f"Next: eesmm finetune --data LABELLED --weights {run.path} --out {run.path}-finetuned"
    )

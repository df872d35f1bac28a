import click

from eesmm_keras.cli._options import data_option, settings_from, source_options


@click.command("doctor")
@data_option
@click.option("--method", metavar="NAME", help="See eesmm list methods. Default: eesmm.")
@click.option("--backbone", metavar="NAME[:KEY=VALUE]", help="See eesmm list backbones.")
@click.option("--image-size", type=click.IntRange(min=1), help="Default: the encoder's.")
@click.option("--batch-size", type=click.IntRange(min=1), metavar="N", help="Images a step.")
@click.option("--precision", metavar="P", help="float32, mixed_bfloat16 or mixed_float16.")
@click.option("--recipe", metavar="NAME|FILE", help="Settings to start from.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting.")
@click.option("--out", metavar="RUN", help="Where the run would be, for the space on the disk.")
@source_options
@click.option("--trial/--no-trial", default=True, show_default=True, help="Try training steps.")
@click.option("--thorough", is_flag=True, help="Decode every image.")
@click.option("--list", "bad_list", metavar="FILE", help="Write all bad images there.")
def command(trial, thorough, bad_list, recipe, assignments, **options):
    """Look at images, and at a pre-training on this machine, before it begins.

    \b
    eesmm doctor --data photos/ --backbone swin_tiny --batch-size 64
    eesmm doctor --data photos/ --no-trial --thorough --list bad.txt

    Counts, sizes, channels, classes, bad and doubly named files; speed of decoding and of training,
    the largest batch that fits, time of an epoch, space for checkpoints.
    """
    settings = settings_from("pretrain", recipe, assignments, **options)
    from eesmm_keras.studies.doctor.report import doctor

    doctor(settings, trial=trial, thorough=thorough, bad_list=bad_list, say=click.echo)

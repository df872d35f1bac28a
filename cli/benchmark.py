import click

from eesmm_keras.cli._options import names_callback
from eesmm_keras.cli._types import PATH


@click.command("benchmark")
@click.option("--backbone", default="swin_tiny", show_default=True, metavar="NAME")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--image-size", type=click.IntRange(min=1), help="Default: the encoder's.")
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Timed turns of each case.",
)
@click.option(
    "--methods",
    default="eesmm,eesmm:num_mixed=3,eesmm:num_mixed=4,greenmim,simmim",
    show_default=True,
    callback=names_callback,
    metavar="NAME[:KEY=VALUE],...",
)
@click.option(
    "--backends",
    default="tensorflow",
    show_default=True,
    callback=names_callback,
    metavar="NAME,...",
    help="tensorflow, jax, torch.",
)
@click.option(
    "--jit",
    type=click.Choice(["off", "on", "both"]),
    default="both",
    show_default=True,
    help="Compiled steps, where the framework leaves a choice.",
)
@click.option(
    "--peer",
    type=PATH,
    metavar="FILE",
    help="Another implementation of the dense step, such as benchmarks/simmim_pytorch.py.",
)
@click.option(
    "--precision",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "mixed_bfloat16", "mixed_float16"]),
)
@click.option(
    "--assume-device",
    metavar="h100|h200",
    help="Also what these steps would do on this GPU, by compiling them for it (extra gpu-audit).",
)
@click.option(
    "--out",
    type=PATH,
    default="runs/benchmark",
    show_default=True,
    metavar="DIR",
    help="For results.csv and results.md.",
)
def command(batch_size, **options):  # fmt: skip
    """Images per second of whole training steps, interleaved, against the fastest dense one.

    \b
    eesmm benchmark                                       Swin-T, TensorFlow
    eesmm benchmark --backbone swin_base --batch-size 16 --methods eesmm,simmim --jit off
    eesmm benchmark --backends tensorflow,jax,torch --methods eesmm,simmim
    eesmm benchmark --precision mixed_bfloat16 --batch-size 256 --assume-device h100

    Each case is a process of its own and takes turns with the first dense one, two seconds or one step
    each.
    """
    from eesmm_keras.studies.benchmark.throughput import benchmark

    benchmark(batch=batch_size, say=click.echo, **options)

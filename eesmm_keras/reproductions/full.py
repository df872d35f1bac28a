"""A published table at its own scale: the commands, and about how long they would take."""

from shlex import quote

from eesmm_keras.reproductions.tables import read_table

GPUS = (1, 4, 8)
# Forward and backward passes, and two operations a multiply-accumulate.
_PASSES, _OPERATIONS = 3, 2


def commands(name, data, out, images=1_281_167, teraflops=100.0):
    """What to type for the rows of a published table.

    Times are derived, not measured: the method's counted products, three forward passes' worth a
    step, at a rate that all of a GPU's time is assumed to give. Reading images, HOG targets, layers
    that are no products and several GPUs' exchange come on top.

    Args:
        name: of `tables.table_names`. data: folder of ImageNet. out: folder of the runs.
        images: of an epoch. teraflops: of one GPU, in 1e12 operations a second.

    Yields:
        lines.

    Raises:
        UserError: no such table.
    """
    table = read_table(name)
    yield f"# {table.title}. Published: {table.setup}."
    yield (
        f"# Hours are derived: {images:,} images per epoch, {teraflops:g} TFLOP/s per GPU; "
        "eesmm docs reproduce."
    )
    for recipe, finetune in dict.fromkeys((row.recipe, row.finetune) for row in table.rows):
        if recipe is None:
            continue
        run = f"{out}/{recipe}"
        yield ""
        yield f"# pre-training: {_hours('pretrain', recipe, images, teraflops)}"
        yield f"eesmm pretrain --data {quote(str(data))} --recipe {recipe} --gpus 8 --out {quote(run)}"
        yield (
            f"eesmm finetune --data {quote(str(data))} --weights {quote(run)} --recipe {finetune} "
            f"--gpus 8 --out {quote(f'{run}-finetuned')}"
        )
    missing = list(dict.fromkeys(row.name for row in table.rows if row.recipe is None))
    if missing:
        yield ""
        yield f"# No recipe here: {', '.join(missing)}."


def _hours(kind, recipe, images, teraflops):
    from eesmm_keras.training.pretraining import build_backbone, build_method
    from eesmm_keras.training.settings import resolve

    settings = resolve(kind, recipe)
    backbone = build_backbone(settings.backbone, settings.image_size)
    macs = float(build_method(settings, backbone).macs())
    operations = _OPERATIONS * _PASSES * macs * images * settings.epochs
    alone = operations / (teraflops * 1e12) / 3600
    shares = ", ".join(f"{alone / gpus:,.0f} h on {gpus}" for gpus in GPUS)
    return f"{macs / 1e9:.2f} GMACs an image, {settings.epochs} epochs: {shares} GPU(s)"

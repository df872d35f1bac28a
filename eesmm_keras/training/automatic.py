"""What `eesmm pretrain --data PHOTOS` chooses for the images and the machine, and why.

docs/evidence.md has the runs that the numbers below follow.
"""

import statistics

from eesmm_keras.data.channels import size_of
from eesmm_keras.data.source import sample
from eesmm_keras.image_size import in_words
from eesmm_keras.names import counted
from eesmm_keras.training.bad_images import open_images
from eesmm_keras.training.chosen import is_automatic, recorded
from eesmm_keras.training.devices import has_accelerator
from eesmm_keras.training.inputs import asked_reading
from eesmm_keras.training.settings import method_arguments, resolve

# Forward multiply-accumulates of a whole run in 1e9, encoder and decoder: 20 to 30 minutes of one
# core of a processor; what 300 epochs of ImageNet take with the large encoder.
_SMALL_BUDGET, _LARGE_BUDGET = 5e3, 2.5e8
_FEWEST_EPOCHS, _MOST_EPOCHS = 3, 800
# Narrow encoders learn little from kernels of deviation 0.02.
_MINI = "swin_mini_32:kernel_initializer=glorot_uniform"
# Forward multiply-accumulates for one image with the settings below, as `MaskedImageModel.macs` counts
# them; a model would have to be built for that, which must wait until the devices are set up. Other
# methods get as many epochs as EESMM.
MACS = {
    ("eesmm", _MINI): 12.0e6,
    ("eesmm", "swin_proxy_64"): 12.2e6,
    ("contrastive", "swin_proxy_64"): 31.9e6,
    ("eesmm", "swin_tiny_224"): 650e6,
}
_DEFAULT = "eesmm"
_SMALL = {"learning_rate": 8e-3, "decoder_dim": 64, "decoder_num_heads": 4}
_CONTRASTIVE = {"method": "contrastive", "learning_rate": 16e-3, "mask_ratio": 0.875}
_LARGE_SIDE, _SMALL_SIDE = 160, 48


def resolve_automatically(recipe, assignments, options, say=print):
    """`settings.resolve("pretrain", ...)`, with settings chosen where no encoder is named.

    Whatever the user says stands. A run that goes on keeps what was chosen for it when it began,
    however many images there are now.

    Args:
        recipe, assignments, options: see `settings.resolve`. say: takes lines for the screen.

    Raises:
        UserError: see `settings.resolve` and `open_images`.
    """
    settings = resolve("pretrain", recipe, assignments, options)
    if not is_automatic(recipe, settings):
        return settings
    chosen = recorded(settings)
    if chosen is not None:
        return resolve("pretrain", None, assignments, options, base=chosen)
    source = open_images(settings, seed=settings.seed, reading=asked_reading(settings))
    said = {*options, *(text.split("=")[0].strip() for text in assignments)}
    # Arguments that were taken without a name are those of the default.
    method = settings.method if "method" in said or settings.method_args else None
    epochs = settings.epochs if "epochs" in said else None
    chosen, why = choose(source, settings, has_accelerator(settings), method, epochs)
    settings = resolve("pretrain", None, assignments, options, base=chosen)
    say(
        f"Chosen for {why}: {settings.method} on {settings.backbone}, "
        f"{in_words(settings.image_size)} pixels, learning rate {settings.learning_rate:g} for 512 "
        f"images, {counted(settings.epochs, 'epoch')}. Any option changes its part; --backbone or "
        "--recipe all of it."
    )
    return settings


def choose(source, settings, accelerated, method=None, epochs=None):
    """Method, encoder, image size, rate, warm-up and epochs for these images and this machine.

    Args:
        source: `ImageSource` of the training images.
        settings: `PretrainSettings` with what the user said.
        accelerated: whether there is a GPU or TPU.
        method: name of the method that the user said, or None.
        epochs: that the user said, or None.

    Returns:
        `(settings, why)`: dict of settings and of the method's arguments; what they were chosen for.
    """
    count = min(len(source), settings.limit or len(source))
    side = statistics.median([min(size_of(image)) for image in sample(source)] or [_LARGE_SIDE])
    if accelerated and side >= _LARGE_SIDE:
        encoder, size, budget, values = "swin_tiny_224", 224, _LARGE_BUDGET, {}
    else:
        budget = _SMALL_BUDGET * (100 if accelerated else 1)
        encoder, size, values = _MINI, 32, {**_SMALL, "mask_ratio": 0.5}
        if side >= _SMALL_SIDE:
            encoder, size, values = "swin_proxy_64", 64, _SMALL
            if method in (None, _CONTRASTIVE["method"]):
                values = {**_SMALL, **_CONTRASTIVE, "mirror": settings.flip}
    method = values.get("method") or method or _DEFAULT
    known = {*type(settings).model_fields, *method_arguments(method)}
    values = {key: value for key, value in values.items() if key in known}
    images = budget * 1e9 / MACS.get((method, encoder), MACS[_DEFAULT, encoder])
    if epochs is None:
        epochs = int(min(max(round(images / max(count, 1)), _FEWEST_EPOCHS), _MOST_EPOCHS))
    values.update(backbone=encoder, image_size=size, beta_2=0.95, epochs=epochs)
    values.update(warmup_epochs=float(max(1, epochs // 10)), automatic=True)
    machine = "an accelerator" if accelerated else "a processor without an accelerator"
    return (
        values,
        f"{counted(count, 'image')}, {side:.0f} pixels along the shorter side, on {machine}",
    )

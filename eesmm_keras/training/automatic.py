"""What `eesmm pretrain --data PHOTOS` chooses for the images and the machine, and why.

docs/evidence.md has the runs that the numbers below follow.
"""

import statistics
from pathlib import Path

from eesmm_keras.data.channels import size_of
from eesmm_keras.data.source import sample
from eesmm_keras.image_size import in_words
from eesmm_keras.training.bad_images import open_images
from eesmm_keras.training.devices import has_accelerator
from eesmm_keras.training.inputs import asked_reading
from eesmm_keras.training.run_config import read_config
from eesmm_keras.training.settings import method_arguments, resolve

# Forward multiply-accumulates of a whole run in 1e9, encoder and decoder: about 30 minutes of one core
# of a processor; what 300 epochs of ImageNet take with the large encoder.
_SMALL_BUDGET, _LARGE_BUDGET = 5e3, 2.5e8
_FEWEST_EPOCHS, _MOST_EPOCHS = 10, 800
# Forward multiply-accumulates of EESMM for one image, as `MaskedImageModel.macs` counts them; a model
# would have to be built for that, which must wait until the devices are set up.
MACS = {"swin_mini_32": 12.0e6, "swin_proxy_64": 12.2e6, "swin_tiny_224": 650e6}
# What decides that everything else is chosen: who names an encoder or a recipe knows what is wanted.
_DECISIVE = ("backbone", "init_from")
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
    if recipe or any(getattr(settings, name) for name in _DECISIVE):
        return settings
    chosen = _recorded(settings)
    if chosen is not None:
        return resolve("pretrain", None, assignments, options, base=chosen)
    source = open_images(settings, seed=settings.seed, reading=asked_reading(settings))
    chosen, why = choose(source, settings, has_accelerator(settings))
    settings = resolve("pretrain", None, assignments, options, base=chosen)
    say(
        f"Chosen for {why}: encoder {settings.backbone}, {in_words(settings.image_size)} pixels, "
        f"learning rate {settings.learning_rate:g} for 512 images, {settings.epochs} epochs. "
        "Any option changes its part; --backbone or --recipe all of it."
    )
    return settings


def choose(source, settings, accelerated):
    """Encoder, image size, ratio, rate, warm-up and epochs for these images and this machine.

    Args:
        source: `ImageSource` of the training images.
        settings: `PretrainSettings` with what the user said; its method and batch size count.
        accelerated: whether there is a GPU or TPU.

    Returns:
        `(settings, why)`: dict of settings and of the method's arguments; what they were chosen for.
    """
    count = min(len(source), settings.limit or len(source))
    side = statistics.median([min(size_of(image)) for image in sample(source)] or [_LARGE_SIDE])
    if accelerated and side >= _LARGE_SIDE:
        name, size, budget, machine = "swin_tiny_224", 224, _LARGE_BUDGET, "an accelerator"
        values, arguments = {"learning_rate": 1e-3}, {}
    else:
        small = side < _SMALL_SIDE
        name, size = ("swin_mini_32", 32) if small else ("swin_proxy_64", 64)
        budget = _SMALL_BUDGET * (100 if accelerated else 1)
        machine = "an accelerator" if accelerated else "a processor without an accelerator"
        values = {"learning_rate": 8e-3}
        arguments = {"decoder_dim": 64, "decoder_num_heads": 4}
        if small:
            arguments["mask_ratio"] = 0.5
    known = method_arguments(settings.method)
    arguments = {key: value for key, value in arguments.items() if key in known}
    epochs = _epochs(name, budget, count)
    values.update(backbone=name, image_size=size, beta_2=0.95, epochs=epochs, **arguments)
    values.update(warmup_epochs=float(max(1, epochs // 10)), automatic=True)
    shown = f"{count} images, {side:.0f} pixels along the shorter side, on {machine}"
    return values, shown


def _epochs(encoder, budget, count):
    """Epochs of EESMM that use up the budget, within bounds."""
    images = budget * 1e9 / MACS[encoder]
    return int(min(max(round(images / max(count, 1)), _FEWEST_EPOCHS), _MOST_EPOCHS))


def _recorded(settings):
    """What was chosen for the run in the settings' folder: {} where nothing was, None: no run."""
    path = Path(settings.out) / "config.yaml"
    if not settings.out or not path.is_file():
        return None
    there = read_config(path).settings
    if not there.get("automatic"):
        return {}
    names = ("backbone", "image_size", "learning_rate", "beta_2", "epochs", "warmup_epochs")
    chosen = {key: there[key] for key in (*names, "automatic") if key in there}
    return {**chosen, **(there.get("method_args") or {})}

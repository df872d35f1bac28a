"""What a pre-training costs and shows the encoder, counted and not timed."""

from eesmm_keras import methods

# Every image of MixMIM lies in two mixes, under complementary masks: two disjoint views of it.
_VIEWS = {"mixmim": 2}


def run_length(images, batch_size, available):
    """Epochs of equal length that see so many images in all: dict of settings.

    Args:
        images: number to be seen, to within half a batch an epoch.
        available: images there are, about what an epoch sees.
    """
    steps = max(1, round(images / batch_size))
    epochs = max(1, round(images / max(available, batch_size)))
    return {"epochs": epochs, "steps_per_epoch": max(1, round(steps / epochs))}


def exposure(method, arguments, images, macs):
    """What a pre-training on so many images comes to.

    Args:
        method: name. arguments: dict of its constructor.
        images: images seen, repetitions counted.
        macs: multiply-accumulates of a forward pass for one image, encoder and decoder, all views:
            see `MaskedImageModel.macs`.

    Returns:
        dict: `images_seen`; `views_seen`, masked views of them; `encodings`, passes of the encoder
        (one per mix, where images are mixed); `gmacs`, forward passes in 1e9 multiply-accumulates.
    """
    rule = methods.get(method).batch_rule(arguments)
    # A pair of MixMIM takes two passes.
    mixed = 1 if method in _VIEWS else rule.images_per_sample
    return {
        "images_seen": images,
        "views_seen": images * _VIEWS.get(method, rule.views),
        "encodings": round(images * rule.views / mixed),
        "gmacs": round(images * macs / 1e9, 1),
    }

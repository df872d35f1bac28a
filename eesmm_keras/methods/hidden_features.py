from keras import ops

from eesmm_keras.ops.patches import put_units, take_units
from eesmm_keras.ops.targets import PixelTarget


def feature_pictures(model, view, hog=None):
    """Pictures of a method that predicts features of units rather than their pixels.

    Args:
        model: `MaskedImageModel`.
        view: dict with `units (B, N, P)`, normalised pixels; `target (B, N, D)` and `prediction
            (B, S, D)`, its whitened form on the scored units; `mask`.
        hog: `HOGTarget` of the features, or None: they are pixels.

    Returns:
        dict: `originals`, `masked`, `reconstructions`, and of HOG `target` too: `(B, H, W, C)` each,
        0..255.
    """
    units, target, mask = view["units"], view["target"], view["mask"]
    hidden = ops.expand_dims(mask.hidden, -1)
    mean, scale = (hog or PixelTarget()).statistics(take_units(target, mask.scored))
    predicted = put_units(view["prediction"] * scale + mean, mask.scored, units.shape[1])
    predicted = target * (1 - hidden) + predicted * hidden
    originals, masked = model.to_pixels(units), model.to_pixels(units * (1 - hidden))
    pictures = {"originals": originals, "masked": masked}
    if hog is None:
        return {**pictures, "reconstructions": model.to_pixels(predicted)}
    target, predicted = hog.pictures(target, predicted, model.backbone.grid)
    return {**pictures, "target": target, "reconstructions": predicted}

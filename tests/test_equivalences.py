"""What published methods have in common, as identities: see docs/evidence.md."""

import numpy as np
import pytest
from keras import ops

from conftest import tiny_backbone
from eesmm_keras.methods.eesmm import EESMM
from eesmm_keras.methods.greenmim import GreenMIM
from eesmm_keras.methods.mixmim import MixMIM
from eesmm_keras.ops import losses
from eesmm_keras.ops.patches import images_to_units

SMALL = {
    "decoder_dim": 16,
    "decoder_num_heads": 2,
    "decoder_depth": 1,
    "mask_bank_size": 2,
    "seed": 0,
}


def images(count=2):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype("uint8")


def halves(count=64, seed=1):
    """A mask that hides half of the units, and its complement."""
    hidden = np.zeros(count, "int8")
    hidden[np.random.default_rng(seed).permutation(count)[: count // 2]] = 1
    return hidden, 1 - hidden


def close(a, b, tolerance=2e-5):
    a, b = (ops.convert_to_numpy(x) for x in (a, b))
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def set_alike(source, target):
    """Copy the weights of one decoder or encoder into another."""
    for mine, theirs in zip(target.weights, source.weights, strict=True):
        mine.assign(theirs)


def test_clean_mixing_of_two_images_is_greenmim_at_half_the_visible_units():
    """Patch-wise mixing where every image attends to itself only adds nothing to GreenMIM.

    At ratio r a mix has (1 - r) N visible units; if each comes from one of two images, each image
    has (1 - r) / 2 N: GreenMIM at (1 + r) / 2, encoder and all, at the same count of products.
    """
    backbone = tiny_backbone()
    ratio, count = 0.75, 64
    order = np.random.default_rng(2).permutation(count)
    first, second = order[:8], order[8:16]
    assert len(first) / count == 1 - (1 + ratio) / 2
    pair = images()
    pixels = backbone.normalization(pair)
    # The mix: units of image 0 on `first`, of image 1 on `second`, attention inside an image.
    side = np.zeros(count, "float32")
    side[second] = 1
    tokens = backbone.embed(pixels)
    of_second = np.repeat(np.repeat(side.reshape(8, 8), 2, 0), 2, 1)[None, :, :, None]
    of_second = ops.convert_to_tensor(of_second)
    mixed = tokens[:1] * (1 - of_second) + tokens[1:] * of_second
    for image, own in ((0, first), (1, second)):
        hidden = np.ones((1, count), "int8")
        hidden[0, own] = 0
        model = GreenMIM(backbone, mask_ratio=(1 + ratio) / 2, **SMALL)
        (mask,) = model.masking.given(hidden, 2)
        units = images_to_units(pixels, backbone.stride)[image : image + 1]
        alone = backbone.encode_visible(ops.take(units, np.sort(own), axis=1), plan=mask.plan)
        together = _encode_apart(backbone, mixed, first, second)
        close(ops.take(ops.reshape(together, (1, count, -1)), np.sort(own), axis=1), alone)
        assert sorted(ops.convert_to_numpy(mask.visible)) == sorted(own)


def _encode_apart(backbone, tokens, *groups):
    """The dense encoder where the units of each group attend to each other only.

    Sides 0 and 1 are all that `encode_tokens` knows, so each group gets its pass: its own units are
    side 0, all others side 1. What a group's units become depends on its own units alone.
    """
    count = backbone.grid[0] * backbone.grid[1]
    result = 0.0
    for group in groups:
        others = np.ones(count, "float32")
        others[group] = 0
        side = ops.convert_to_tensor(others.reshape(1, *backbone.grid, 1))
        latent = backbone.encode_tokens(tokens, side=side)
        result = result + latent * (1 - side)
    return result


def test_mixmim_is_greenmim_with_two_disjoint_views():
    """At ratio 0.5: the same latents, and with one decoder the same predictions and loss.

    Equal: MixMIM's dense pass over the mix of images i and i + 1 gives the latents of image i under the
    mask and of image i + 1 under its complement; over a batch, every image under both: GreenMIM with
    `num_views=2`. The decoder sees visible latents and mask tokens in both methods, so with the same
    depth the predictions agree too, and the loss, a mean over all images and both masks.
    Not equal: MixMIM's decoder has 8 blocks by default, GreenMIM's one. And where windows do not divide
    the map, the padding belongs to the image that keeps its units: its partner does not see it, while
    in GreenMIM both views do. With windows that divide it, as here, nothing differs.
    """
    backbone, batch = tiny_backbone(window_size=4), images(3)
    decoder = {key: SMALL[key] for key in ("decoder_dim", "decoder_num_heads", "decoder_depth")}
    mixmim = MixMIM(backbone, mask_ratio=0.5, seed=0, **decoder)
    greenmim = GreenMIM(backbone, mask_ratio=0.5, num_views=2, **SMALL)
    set_alike(greenmim.decoder, mixmim.decoder)
    mask, complement = halves()

    mixed = mixmim(batch, hidden=mask)
    views = greenmim(batch, hidden=np.stack([mask, complement]))
    close(mixed["prediction"], views["view_0"]["prediction"], 1e-4)
    partner = np.array([1, 2, 0])
    close(
        mixed["partner_prediction"], ops.take(views["view_1"]["prediction"], partner, axis=0), 1e-4
    )
    close(mixmim.loss_terms(mixed)[0], greenmim.loss_terms(views)[0], 1e-4)


@pytest.mark.parametrize(("loss", "power"), [("mse", 2), ("l1", 1)])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.7, 0.3)])
def test_subtracting_teaches_what_the_mixed_loss_teaches(weights, loss, power):
    """With one mask, the error of Eq. 5-6 is the mixed error times 1 / lambda, whatever is predicted.

    So for every prediction the total loss is a constant times the mixed one, and so is every gradient.
    The constant is 1 + sum of 1 / lambda^2 for squared errors, which Adam does not see.
    """
    backbone, batch = tiny_backbone(), images(4)
    model = EESMM(backbone, loss=loss, mix_weights=list(weights), **SMALL)
    outputs = model(batch, hidden=model.sample_hidden(0))
    constant = 1 + sum(1 / weight**power for weight in weights)
    rng = np.random.default_rng(3)
    for scale in (0.1, 1.0, 10.0):
        noise = rng.normal(size=outputs["prediction"].shape).astype("float32")
        changed = {**outputs, "prediction": ops.convert_to_tensor(scale * noise)}
        total, terms = model.loss_terms(changed)
        close(total, constant * terms["loss_mixed"], 1e-5)
        # As printed: decomposed images against the sources.
        parts = model.decompose(changed)
        errors = losses.unit_errors(parts["source_predictions"], parts["sources"], loss)
        sources = ops.mean(losses.masked_mean(errors, parts["hidden"]), axis=0)
        close(ops.sum(sources), (constant - 1) * terms["loss_mixed"], 1e-4)


def test_pictures_of_mixmim_are_units_of_the_two_images():
    arguments = {key: value for key, value in SMALL.items() if key != "mask_bank_size"}
    mixmim = MixMIM(tiny_backbone(), **arguments)
    pictures = {
        name: ops.convert_to_numpy(images_to_units(np.asarray(picture, "float32"), 4))
        for name, picture in mixmim.reconstruct(images()).items()
    }
    originals = pictures["originals"]
    own = np.isclose(pictures["mixed"], originals, atol=1).all(-1)
    partners = np.isclose(pictures["mixed"], originals[::-1], atol=1).all(-1)
    # Every unit of a mix is the image's own or its partner's, half of them each.
    np.testing.assert_array_equal(own, ~partners)
    assert own.sum() == own.size // 2
    # What is its own was seen, and stands in the reconstruction as it was.
    np.testing.assert_allclose(pictures["reconstructions"][own], originals[own], atol=1)

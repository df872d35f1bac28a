"""ConViT: masked convolutions do not leak, visible tokens against the dense network, training."""

import keras
import numpy as np
import pytest
from keras import ops

from conftest import random_images, to_numpy
from eesmm_keras import DMJD, MAE, ConViTBackbone
from eesmm_keras.converters.importing import import_weights
from eesmm_keras.converters.own_model import OwnWeights
from eesmm_keras.ops.patches import gather_cells, patchify, take_units
from eesmm_keras.training.optimizer import LayerDecayAdamW

ON_JAX = keras.backend.backend() == "jax"
SMALL = {
    "image_shape": (32, 48, 3), "dims": (8, 12, 16), "depths": (2, 1, 2), "num_heads": 2,
    "patch_size": 2,
}  # fmt: skip


def compiled(function):
    """On JAX one program instead of one for each operation and shape."""
    if not ON_JAX:
        return function
    import jax

    return jax.jit(function)


@pytest.fixture(scope="module")
def backbone():
    """4 x 6 mask units of 8 pixels; weights far from their initial values."""
    model, rng = ConViTBackbone(**SMALL), np.random.default_rng(1)
    model.set_weights([w + rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    return model


def pixels(backbone, count=2):
    shape = (count, *backbone.image_shape)
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def hidden_pixels_changed(backbone, images, hidden):
    """The same images with other pixels in hidden units; `hidden`: bool `(N,)`."""
    where = np.kron(hidden.reshape(backbone.grid), np.ones((backbone.stride,) * 2))
    return np.where(where[None, :, :, None] > 0, 255 - images, images).astype(images.dtype)


def dense_masked(backbone, images, hidden, masked=True):
    """The public code's way: whole maps with hidden tokens zero to convolutions, then the visible."""
    x = backbone.patch_embedding(patchify(backbone.normalization(images), backbone.patch_size))
    hidden = hidden.reshape(backbone.grid)
    visible, outputs = np.flatnonzero(~hidden), []

    def shown(y):
        return ops.take(ops.reshape(y, (len(images), hidden.size, -1)), visible, axis=1)

    for stage, merging in zip(backbone.stages, backbone.mergings, strict=True):
        tokens = np.kron(hidden, np.ones((stage.side, stage.side), bool))
        x = stage.run(x, stage.whole_map(tokens if masked else None))
        outputs.append((stage, x))
        x = merging(gather_cells(x, 2))
    x = backbone.absolute_positions(backbone.token_projection(shown(x)), places=visible)
    for block in backbone.blocks:
        x = block(x)
    for fusion, (stage, y) in zip(backbone.fusions, outputs, strict=False):
        x = x + shown(fusion(gather_cells(y, stage.side)))
    return backbone.norm(x)


def sparse(backbone, images, visible):
    visible = ops.convert_to_tensor(visible, "int32")
    units = take_units(backbone.units_of(images), visible)
    return backbone.encode_visible(units, {"units": visible})


HIDDEN = np.random.default_rng(3).random(24) < 0.7


def test_visible_tokens_equal_the_dense_network(backbone):
    images = pixels(backbone)
    mine = to_numpy(compiled(lambda x: sparse(backbone, x, np.flatnonzero(~HIDDEN)))(images))
    expected = to_numpy(compiled(lambda x: dense_masked(backbone, x, HIDDEN))(images))
    np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-4)


def test_every_image_may_have_its_own_mask(backbone):
    rng, images = np.random.default_rng(5), pixels(backbone, 3)
    visible = np.stack([rng.permutation(24)[:7] for _ in images])
    mine = to_numpy(compiled(lambda x: sparse(backbone, x, visible))(images))
    encode = compiled(lambda x, visible: sparse(backbone, x, visible))
    for row, image, places in zip(mine, images, visible, strict=True):
        np.testing.assert_allclose(
            row, to_numpy(encode(image[None], places))[0], rtol=1e-4, atol=1e-4
        )
    assert np.abs(mine[0] - to_numpy(encode(images[:1], visible[1]))[0]).max() > 1e-2


def test_all_units_visible_is_the_dense_network(backbone):
    images = pixels(backbone)
    mine = to_numpy(compiled(lambda x: sparse(backbone, x, np.arange(24)))(images))
    expected = to_numpy(backbone.predict_on_batch(images)).reshape(mine.shape)
    np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-4)


def test_masked_convolutions_do_not_leak(backbone):
    """Other hidden pixels change nothing; without the mask of the convolutions they do."""
    images = pixels(backbone)
    other = hidden_pixels_changed(backbone, images, HIDDEN)
    for masked in (True, False):
        encode = compiled(lambda x, masked=masked: dense_masked(backbone, x, HIDDEN, masked))
        difference = np.abs(to_numpy(encode(images)) - to_numpy(encode(other))).max()
        assert difference < 1e-5 if masked else difference > 1e-2


@pytest.mark.parametrize("method", [MAE, DMJD])
def test_predictions_depend_on_visible_pixels_alone(backbone, method):
    model = method(
        backbone, decoder_dim=16, decoder_depth=1, decoder_num_heads=2, mask_bank_size=2, seed=0,
        **({"num_views": 1, "block_size": 1, "projector_dim": 8} if method is DMJD else {}),
    )  # fmt: skip
    images = random_images(2, 48)[:, :32]
    hidden = np.stack([HIDDEN] * (2 if method is MAE else 1)).astype("int32")
    first, second, third = (
        to_numpy(model(x, hidden=hidden)["prediction"])
        for x in (
            images,
            hidden_pixels_changed(backbone, images, HIDDEN),
            hidden_pixels_changed(backbone, images, ~HIDDEN),
        )
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - third).max() > 1e-2


@pytest.mark.parametrize("method", [MAE, DMJD])
def test_every_variable_learns(method):
    small = {**SMALL, "image_shape": (32, 32, 3), "depths": (1, 1, 1)}
    options = {"projector_dim": 8, "num_views": 1} if method is DMJD else {}
    model = method(
        ConViTBackbone(**small), decoder_dim=16, decoder_depth=1, decoder_num_heads=2,
        mask_bank_size=2, seed=1, **options,
    )  # fmt: skip
    before = [to_numpy(variable) for variable in model.trainable_variables]
    model.compile(LayerDecayAdamW(3e-3, weight_decay=0.0))
    images = np.concatenate([random_images(4)] * 2)
    history = model.fit(images, batch_size=4, epochs=1, verbose=0, shuffle=False).history
    assert np.isfinite(history["loss"]).all()
    for old, variable in zip(before, model.trainable_variables, strict=True):
        assert np.abs(old - to_numpy(variable)).max() > 0, variable.path


def test_fusion_can_be_left_out_of_trained_weights(backbone):
    """As in the public code's fine-tuning; the output then is another one."""
    plain = ConViTBackbone(**SMALL, fusion=False)
    report = import_weights(plain, OwnWeights(backbone, "here"))
    assert report.coverage == 1
    assert {name.split("/")[0] for name in report.left_over} == {"fusion_0", "fusion_1"}
    images = pixels(backbone)
    fused, bare = (to_numpy(model.predict_on_batch(images)) for model in (backbone, plain))
    assert np.abs(fused - bare).max() > 1e-2


def test_learned_positions_are_interpolated():
    model = ConViTBackbone(**SMALL, positions="learned")
    larger = model.resized(64, 64)
    assert larger.absolute_positions.table.shape == (64, 16)
    assert np.abs(to_numpy(larger.absolute_positions.table)).max() > 1e-3


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"depths": (2,), "dims": (8,)}, "one for the ViT"),
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"num_heads": 3}, "num_heads must divide the width 16"),
        ({"dims": (8, 12)}, "dims must be a list of 3 values"),
        ({"fusion": "yes"}, "fusion must be true or false"),
    ],
)
def test_sizes_that_do_not_fit(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ConViTBackbone(**{**SMALL, **kwargs})

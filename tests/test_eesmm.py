"""EESMM: its algebra, its masks, its training on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

from conftest import random_images, tiny_eesmm, to_numpy
from eesmm_keras import EESMM, load_model
from eesmm_keras.ops import losses, mixing

VARIANTS = [
    {},
    {"decomposition": "split", "num_mixed": 3},
    {"mask_sharing": "independent", "mixing": "views", "decomposition": "split", "loss": "l1"},
]


def floats(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


tensor = ops.convert_to_tensor


@pytest.mark.parametrize("norm_pixels", [True, False])
def test_subtracted_losses_are_the_mixed_loss_times_a_constant(norm_pixels):
    weights = (0.4, 0.6)
    model = tiny_eesmm(mix_weights=weights, norm_pixels=norm_pixels)
    _, terms = model.loss_terms(model(random_images(4)))
    factor = sum(1 / weight**2 for weight in weights)
    assert float(terms["loss_sources"]) == pytest.approx(
        factor * float(terms["loss_mixed"]), rel=1e-4
    )


@pytest.mark.parametrize("sharing", ["shared", "independent"])
def test_hidden_pixels_do_not_reach_the_latent(sharing):
    model = tiny_eesmm(mask_sharing=sharing)
    hidden = model.sample_hidden(0)
    images = random_images(4)
    changed = images.copy()
    # Image i of the batch is source i % 2 of its mix.
    for i in range(4):
        tokens = hidden[i % len(hidden)].reshape(8, 8)
        where = np.kron(tokens, np.ones((4, 4))).astype(bool)
        changed[i][where] = 255 - changed[i][where]

    def latent(pixels):
        outputs = model(pixels, hidden=hidden)
        mask = outputs["mask"]
        latent = model.backbone.encode_visible(outputs["encoded"], plan=mask.plan)
        return to_numpy(latent), mask.visible.shape[0]

    (first, visible), (second, _) = latent(images), latent(changed)
    assert first.shape[1] == visible == (hidden == 0).any(0).sum()
    np.testing.assert_array_equal(first, second)
    (third, _) = latent(255 - images)
    assert np.abs(first - third).max() > 1e-3


def test_unscored_target_pixels_do_not_change_the_loss():
    model = tiny_eesmm()
    hidden = model.sample_hidden(0)
    outputs = model(random_images(4), hidden=hidden)
    total = float(model.loss_terms(outputs)[0])

    def loss_with_changed(units):
        where = np.kron(units.reshape(8, 8), np.ones((4, 4)))[..., None]
        noise = np.random.default_rng(0).normal(size=(2, 2, 32, 32, 3)) * 20 * where
        sources = ops.convert_to_tensor(to_numpy(outputs["sources"]) + noise.astype("float32"))
        mixed = model.backbone.units_of(mixing.mix(sources, model.mix_weights))
        return float(model.loss_terms({**outputs, "sources": sources, "mixed": mixed})[0])

    assert loss_with_changed(1 - hidden) == pytest.approx(total, rel=1e-6)
    assert loss_with_changed(hidden) != pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("sharing", ["shared", "independent"])
@pytest.mark.parametrize("kind", ["mse", "l1"])
def test_the_loss_is_that_of_the_printed_equations(kind, sharing):
    """`view_loss` takes a short cut for "subtract"; `decompose` has Eq. 5-6 as printed."""
    model = tiny_eesmm(
        num_mixed=3, mix_weights=(0.5, 0.3, 0.2), loss=kind, mask_sharing=sharing,
        loss_weights=(1, 2, 3, 4),
    )  # fmt: skip
    outputs = model(random_images(6))
    parts = model.decompose(outputs)
    mixed = losses.unit_errors(parts["mixed_prediction"], parts["mixed"], kind)
    mixed = ops.mean(losses.masked_mean(mixed, ops.max(parts["hidden"], axis=0)))
    sources = losses.unit_errors(parts["source_predictions"], parts["sources"], kind)
    sources = ops.mean(losses.masked_mean(sources, parts["hidden"]), axis=0)
    total, terms = model.loss_terms(outputs)
    assert float(terms["loss_mixed"]) == pytest.approx(float(mixed), rel=1e-5)
    assert float(terms["loss_sources"]) == pytest.approx(float(ops.sum(sources)), rel=1e-4)
    expected = float(mixed) + float(to_numpy(sources) @ np.array([2.0, 3.0, 4.0]))
    assert float(total) == pytest.approx(expected, rel=1e-4)


def test_the_mask_changes_from_step_to_step():
    model = tiny_eesmm()
    orders = {tuple(to_numpy(model(random_images(2))["mask"].order)) for _ in range(8)}
    assert len(orders) > 2
    [table] = model.derived_variables
    before = to_numpy(table)
    model.masking.refresh(epoch=1)
    assert (to_numpy(table) != before).any()
    model.masking.refresh(epoch=0)
    np.testing.assert_array_equal(to_numpy(table), before)


def test_bank_and_explicit_masks_give_the_same():
    model = tiny_eesmm()
    images = random_images(4)
    outputs = model(images)
    again = model(images, hidden=outputs["mask"].hidden)
    np.testing.assert_allclose(
        to_numpy(again["prediction"]), to_numpy(outputs["prediction"]), atol=1e-5
    )


@pytest.mark.parametrize("hidden", [np.ones((1, 64)), np.zeros((1, 64))])
def test_masks_that_leave_nothing(hidden, shared_backbone):
    with pytest.raises(ValueError, match="at least one unit visible"):
        tiny_eesmm(shared_backbone)(random_images(2), hidden=hidden)


# === Training ===


@pytest.mark.parametrize("variant", VARIANTS, ids=["default", "split", "independent"])
def test_fit_learns_a_fixed_batch(variant):
    model = tiny_eesmm(**variant)
    model.compile(keras.optimizers.AdamW(3e-3))
    images = random_images(6)
    history = model.fit(images, batch_size=6, epochs=12, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert history["loss"][-1] == pytest.approx(
        history["loss_mixed"][-1] + history["loss_sources"][-1], rel=1e-4
    )


@pytest.mark.parametrize("decomposition", ["subtract", "split"])
def test_unmixed_samples_are_the_first_image_of_their_mix(decomposition):
    model = tiny_eesmm(unmixed_share=1.0, decomposition=decomposition)
    images = random_images(4)
    seen = to_numpy(model(images, training=True)["mixed"])
    firsts = to_numpy(model.backbone.units_of(images[::2].astype("float32")))
    np.testing.assert_allclose(seen.sum(axis=(1, 2)), firsts.sum(axis=(1, 2)), rtol=1e-3)
    mixed = to_numpy(model(images, training=False)["mixed"])
    assert np.abs(mixed.sum(axis=(1, 2)) - firsts.sum(axis=(1, 2))).min() > 1.0
    half = tiny_eesmm(unmixed_share=0.5)(random_images(64), training=True)
    first, second = np.moveaxis(to_numpy(half["sources"]), 1, 0)
    assert 0.15 < (first == second).all(axis=(1, 2, 3)).mean() < 0.85


def test_fit_takes_labels_datasets_and_uneven_batches():
    import tensorflow as tf

    model = tiny_eesmm()
    model.compile(keras.optimizers.AdamW(1e-3, gradient_accumulation_steps=2))
    images = random_images(7)
    dataset = tf.data.Dataset.from_tensor_slices((images, np.zeros(7))).batch(4)
    logs = model.fit(dataset, epochs=1, verbose=0, validation_data=dataset).history
    assert np.isfinite([*logs["loss"], *logs["val_loss_sources"]]).all()


@pytest.mark.parametrize(("images", "batch"), [(1, 4), (9, 4), (4, 1)])
def test_batches_that_cannot_be_mixed_are_refused_before_training(images, batch, shared_backbone):
    model = tiny_eesmm(shared_backbone)
    model.compile("adamw")
    with pytest.raises(ValueError, match="takes at least 2 images"):
        model.fit(random_images(images), batch_size=batch, verbose=0)


def test_pictures_show_what_they_say():
    model = tiny_eesmm(decomposition="split", norm_pixels=True)
    images, hidden = random_images(4), model.sample_hidden(3)
    pictures = model.reconstruct(images, hidden=hidden)
    originals = images.reshape(2, 2, 32, 32, 3).astype("float32")
    np.testing.assert_allclose(pictures["originals"], originals, atol=0.01)
    np.testing.assert_allclose(pictures["mixed"], originals.mean(1), atol=0.01)
    where = np.kron(hidden.reshape(8, 8), np.ones((4, 4))).astype(bool)
    np.testing.assert_allclose(
        pictures["masked"][:, ~where], pictures["mixed"][:, ~where], atol=0.01
    )
    assert np.ptp(pictures["masked"][:, where], axis=(0, 1)).max() < 0.01
    for name, original in (("mixed_reconstruction", "mixed"), ("reconstructions", "originals")):
        same = np.abs(pictures[name] - pictures[original]).max(axis=-1)
        same = same.reshape(-1, 32, 32)
        assert same[:, ~where].max() < 0.01
        assert np.median(same[:, where]) > 1
    predicted = model.predict(images, verbose=0)
    assert {name: value.shape for name, value in predicted.items()} == {
        name: value.shape for name, value in pictures.items()
    }


def test_a_perfect_prediction_is_a_perfect_picture():
    """Un-normalisation: targets put in the place of predictions give back the originals."""
    for variant in ({}, {"decomposition": "split", "mask_sharing": "independent"}):
        model = tiny_eesmm(**variant)
        outputs = model(random_images(4), hidden=model.sample_hidden(0))
        parts = model.decompose(outputs)
        target = parts["mixed"]
        if model.decomposition == "split":
            target = ops.concatenate([parts["sources"][:, k] for k in range(2)], axis=-1)
        perfect = {**outputs, "prediction": target}
        total, _ = model.loss_terms(perfect)
        assert float(total) < 1e-6
        pictures = model.pictures(perfect)
        for name, original in (("mixed_reconstruction", "mixed"), ("reconstructions", "originals")):
            np.testing.assert_allclose(
                to_numpy(pictures[name]), to_numpy(pictures[original]), atol=0.1
            )


# === Saving and arguments ===


@pytest.mark.parametrize("variant", VARIANTS[1:], ids=["split", "independent"])
def test_saves_and_loads_equal(tmp_path, variant):
    model = tiny_eesmm(**variant, loss_weights=(1, 2, 3, 4)[: 1 + variant.get("num_mixed", 2)])
    model.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras")
    assert again.get_config() == model.get_config()
    hidden = model.sample_hidden(0)
    for variable, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), to_numpy(other))
    if model.mixing == "mean":
        images = random_images(6)
        np.testing.assert_allclose(
            to_numpy(again(images, hidden=hidden)["prediction"]),
            to_numpy(model(images, hidden=hidden)["prediction"]),
            atol=1e-6,
        )


def test_masks_are_not_written_to_files(tmp_path):
    import zipfile

    sizes = []
    for size in (2, 64):
        tiny_eesmm(mask_bank_size=size).save(tmp_path / "m.keras")
        sizes.append(zipfile.ZipFile(tmp_path / "m.keras").getinfo("model.weights.h5").file_size)
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_mixed": 1}, "num_mixed must be a whole number from 2 to 8"),
        ({"num_mixed": 0}, "num_mixed must be a whole number from 2 to 8"),
        ({"num_mixed": "x"}, "num_mixed must be a whole number, got 'x'"),
        ({"mix_weights": 0.5}, "mix_weights must be a list"),
        ({"mix_weights": ("a", "b")}, "mix_weights must be a number"),
        ({"mask_ratio": "x"}, "mask_ratio must be a number"),
        ({"mask_ratio": float("nan")}, "mask_ratio must be a number"),
        ({"norm_pixels": "no"}, "norm_pixels must be true or false"),
        ({"num_views": 0}, "num_views must be"),
        ({"num_views": 10**9}, "num_views must be"),
        ({"block_size": 0}, "block_size must be"),
        ({"mask_bank_size": 10**9}, "mask_bank_size must be a whole number from 1 to 8192"),
        ({"decoder_num_heads": 0}, "decoder_num_heads must be"),
        ({"decoder_dim": 10**9}, "decoder_dim must be"),
        ({"decoder_depth": 10**9}, "decoder_depth must be a whole number from 1 to 256"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"loss_weights": ("a", 1, 1)}, "loss_weights must be a number"),
        ({"mixing": "meen"}, "Did you mean 'mean'"),
        ({"mask_sharing": "none"}, "Known: independent, shared"),
        ({"decomposition": "sub"}, "Known: split, subtract"),
        ({"assignment": "best"}, "Known: fixed, permutation_invariant"),
        ({"loss": "l3"}, "Known: l1, mse"),
        ({"loss_weights": (1, 1)}, "3 numbers"),
        ({"unmixed_share": 1.5}, "unmixed_share must be a number from 0 to 1"),
        ({"decoder_depth": 0}, "decoder_depth must be a whole number from 1"),
        ({"decoder_num_heads": 5}, "must divide"),
    ],
)
def test_wrong_arguments(kwargs, message, shared_backbone):
    with pytest.raises(ValueError, match=message):
        EESMM(shared_backbone, **{"decoder_dim": 32, "decoder_num_heads": 4, **kwargs})

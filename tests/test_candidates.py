"""The candidates of docs/evidence.md, plug-ins in benchmarks/candidates/."""

from pathlib import Path

import keras
import numpy as np
import pytest

from eesmm_keras import GreenMIM, SwinBackbone, methods

_FOLDER = Path(__file__).parent.parent / "benchmarks" / "candidates"
_SMALL = {"decoder_dim": 16, "decoder_num_heads": 2, "mask_bank_size": 4, "seed": 3}


@pytest.fixture(autouse=True)
def _plugins(monkeypatch):
    monkeypatch.setenv("EESMM_PLUGINS", str(_FOLDER))


def _encoder():
    keras.utils.set_random_seed(1)
    return SwinBackbone(
        (32, 32, 3), embed_dim=8, depths=(1, 1), num_heads=(1, 2), window_size=4, patch_size=2
    )


def _images(count=4):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), "uint8")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("deep", {"fused": True}),
        ("deep", {"early_weight": 0.5}),
        ("deep", {"target": "hog", "early_weight": 1.0}),
        ("cross", {}),
        ("teacher", {"num_views": 2}),
        ("mixed_contrast", {}),
    ],
)
def test_a_candidate_trains_and_is_saved(name, arguments, tmp_path):
    model = methods.get(name)(_encoder(), **arguments, **_SMALL)
    before = [v.numpy().copy() for v in model.trainable_variables]
    model.compile(keras.optimizers.AdamW(1e-2))
    losses = model.fit(_images(8), epochs=8, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    unmoved = [
        v.path
        for v, was in zip(model.trainable_variables, before, strict=True)
        if np.array_equal(v.numpy(), was)
    ]
    # Nothing that is trained is left out of the loss.
    assert not unmoved
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for key, picture in model.reconstruct(_images(), seed=1).items():
        np.testing.assert_allclose(again.reconstruct(_images(), seed=1)[key], picture, atol=1e-3)


def test_without_its_additions_deep_is_greenmim():
    plain = GreenMIM(_encoder(), **_SMALL)
    deep = methods.get("deep")(_encoder(), **_SMALL)
    deep.decoder.set_weights(plain.decoder.get_weights())
    assert deep.macs() == plain.macs()
    hidden = plain.sample_hidden(0)
    total = [float(m.loss_terms(m(_images(), hidden=hidden))[0]) for m in (plain, deep)]
    assert total[0] == pytest.approx(total[1], rel=1e-6)


def test_the_cross_decoder_s_prediction_of_a_unit_knows_no_other_hidden_unit():
    model = methods.get("cross")(_encoder(), **_SMALL)
    mask = model.masking.given(model.sample_hidden(0), 4)[0]
    latent = model.backbone.encode_visible(
        model.backbone.units_of(_images())[:, : mask.visible.shape[0]], plan=mask.plan
    )
    whole = keras.ops.convert_to_numpy(model.decoder(latent, mask.visible, mask.scored))
    part = keras.ops.convert_to_numpy(model.decoder(latent, mask.visible, mask.scored[5:9]))
    np.testing.assert_allclose(part, whole[:, 5:9], atol=1e-5)
    view = model(_images(), training=True)
    assert view["mask"].scored.shape[0] == round(mask.scored.shape[0] / 2)


def test_the_teacher_is_a_moving_average_of_the_encoder():
    model = methods.get("teacher")(_encoder(), num_views=2, momentum=0.75, **_SMALL)
    assert not model.teacher.trainable_variables
    old = [w.numpy().copy() for w in model.teacher.weights]
    for weight in model.backbone.weights:
        weight.assign(weight + 1.0)
    model(_images(), training=True)
    for weight, was in zip(model.teacher.weights, old, strict=True):
        np.testing.assert_allclose(weight.numpy(), was + 0.25, atol=1e-5)
    # A third of a dense forward pass: it has no backward one.
    plain = GreenMIM(_encoder(), num_views=2, **_SMALL)
    more = model.macs() - plain.macs()
    assert more > model.backbone.macs() / 3


def test_mixes_are_contrasted_at_the_cost_of_half_the_images():
    plain = methods.get("contrastive")(_encoder(), **_SMALL)
    mixed = methods.get("mixed_contrast")(_encoder(), **_SMALL)
    assert mixed.macs() == plain.macs() / 2
    images = _images()
    hidden = plain.sample_hidden(0)
    mixed.set_weights(plain.get_weights())
    together = images.reshape(2, 2, 32, 32, 3).astype("float32").mean(axis=1)
    wanted = float(plain.loss_terms(plain(together, hidden=hidden))[0])
    assert float(mixed.loss_terms(mixed(images, hidden=hidden))[0]) == pytest.approx(wanted)

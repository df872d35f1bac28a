"""Weights of timm and of official code against what these made of the same images (foreign/make.py)."""

from pathlib import Path

import keras
import numpy as np
import pytest

from conftest import to_numpy
from eesmm_keras import DMJD, MAE, GreenMIM, ImageClassifier, MixMIM, SimMIM
from eesmm_keras.converters import CONVERTERS
from eesmm_keras.converters.importing import build_encoder, import_weights
from eesmm_keras.converters.recognition import open_weights
from eesmm_keras.ops.patches import take_units

if keras.backend.backend() != "tensorflow":
    pytest.skip("one backend is enough: what is compared is NumPy's", allow_module_level=True)

HERE = Path(__file__).parent / "foreign"


def opened(name):
    """`(Weights, encoder, Report, what the library made)`."""
    where = HERE / name if name.startswith("keras_hub") else HERE / f"{name}.safetensors"
    weights = open_weights(str(where))
    assert weights.converter.title == CONVERTERS.get(name.replace("deit3", "vit"))().title
    options = {}
    # What the source says nothing of.
    for argument in weights.assumed:
        options[argument] = {"num_heads": 2, "image_shape": (32, 32, 3)}[argument]
    encoder, report = build_encoder(weights, **options)
    return weights, encoder, report, np.load(HERE / f"{name}.npz")


def close(mine, theirs):
    mine = to_numpy(mine)
    np.testing.assert_allclose(mine, theirs.reshape(mine.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["swin_timm", "vit_timm", "deit3_timm"])
def test_features_of_timm(name):
    _, encoder, report, made = opened(name)
    assert report.coverage == 1
    folded = {row.note for row in report.rows if row.state == "converted"}
    assert (
        folded
        == {
            "swin_timm": set(),
            "vit_timm": {"its position added"},
            "deit3_timm": {"LayerScale folded in"},
        }[name]
    )
    close(encoder(made["images"]), made["features"])


@pytest.mark.parametrize("name", ["keras_hub_swin", "keras_hub_vit"])
def test_features_of_keras_hub(name):
    weights, encoder, report, made = opened(name)
    assert not weights.assumed
    assert report.coverage == 1
    assert not report.left_over
    features = made["features"]
    close(encoder(made["images"]), features if "swin" in name else features[:, 1:])


@pytest.mark.parametrize("name", ["swin_timm", "swin_official"])
def test_logits(name):
    weights, encoder, _, made = opened(name)
    model = ImageClassifier(encoder, num_classes=5)
    report = import_weights(model, weights)
    assert not report.left_over
    close(model(made["images"]), made["logits"])


def test_simmim():
    weights, encoder, _, made = opened("simmim_official")
    model = SimMIM(encoder, mask_ratio=0.5, block_size=1, seed=0)
    report = import_weights(model, weights)
    assert not report.left_over
    assert all(row.state == "matched" for row in report.rows)
    loss, _ = model.loss_terms(model(made["images"], hidden=made["hidden"].reshape(2, -1)))
    assert float(loss) == pytest.approx(float(made["loss"]), rel=1e-4)


def test_greenmim():
    weights, encoder, _, made = opened("greenmim_official")
    assert encoder.get_config()["norm_epsilon"] == 1e-6
    model = GreenMIM(encoder, decoder_dim=16, decoder_depth=1, decoder_num_heads=2, seed=0)
    report = import_weights(model, weights)
    assert not report.left_over
    assert not [row for row in report.rows if row.state == "missing"]
    hidden = made["hidden"][0]
    [mask] = model.masking.given(hidden, len(made["images"]))
    units = take_units(encoder.units_of(made["images"]), mask.visible)
    latent = to_numpy(encoder.encode_visible(units, plan=mask.plan))
    close(latent[:, np.argsort(to_numpy(mask.visible))], made["latent"])


def test_mixmim():
    weights, encoder, _, made = opened("mixmim_official")
    assert encoder.get_config()["positions"] == "sincos"
    model = MixMIM(encoder, decoder_dim=8, decoder_depth=1, decoder_num_heads=2, partner="reversed")
    report = import_weights(model, weights)
    assert not report.left_over
    assert not [row for row in report.rows if row.state == "missing"]
    loss, _ = model.loss_terms(model(made["images"], hidden=made["hidden"]))
    assert float(loss) == pytest.approx(float(made["loss"]), rel=2e-4)


def test_mae():
    weights, encoder, _, made = opened("mae_official")
    assert encoder.get_config()["positions"] == "sincos"
    model = MAE(
        encoder, mask_ratio=0.5, decoder_dim=16, decoder_depth=1, decoder_num_heads=2, seed=0
    )
    report = import_weights(model, weights)
    assert not report.left_over
    loss, _ = model.loss_terms(model(made["images"], hidden=made["hidden"]))
    assert float(loss) == pytest.approx(float(made["loss"]), rel=1e-4)


def test_dmjd():
    """Two views with a mask each; the images are those of `foreign/make.py`."""
    weights, encoder, _, made = opened("dmjd_official")
    config = encoder.get_config()
    assert (config["positions"], config["fusion"]) == ("sincos", True)
    assert config["mlp_ratio"] == (4, 4, 2)
    model = DMJD(
        encoder, decoder_dim=16, decoder_depth=1, decoder_num_heads=2, projector_dim=16,
        mask_bank_size=2, seed=0,
    )  # fmt: skip
    report = import_weights(model, weights)
    assert not report.left_over
    assert not [row for row in report.rows if row.state == "missing"]
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), "uint8")[:1]
    order, count = made["order"].astype("int32"), int(made["count"])
    visible, scored = order[:, :count], order[:, count:]
    units = take_units(np.repeat(encoder.units_of(images), 2, axis=0), visible)
    latent = encoder.encode_visible(units, {"units": visible})
    close(latent, made["latent"])
    close(model.projector(latent), made["visible"])
    hidden = to_numpy(model.decoder(latent, visible=visible, scored=scored))
    close(hidden[:, : made["hidden"].shape[1]], made["hidden"])

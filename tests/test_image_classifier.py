"""ImageClassifier: what it computes, learns and keeps."""

import keras
import numpy as np
import pytest

from conftest import random_images, tiny_backbone, tiny_eesmm, to_numpy
from eesmm_keras import ImageClassifier, LayerDecayAdamW, ViTBackbone, load_model
from eesmm_keras.errors import UserError
from eesmm_keras.training.optimizer import layer_decay_scales


def test_logits_are_a_linear_map_of_the_pooled_features():
    backbone = tiny_backbone()
    model = ImageClassifier(backbone, 3)
    images = random_images(4)
    pooled = to_numpy(backbone.feature_extractor()(images)["pooled"])
    expected = pooled @ to_numpy(model.head.kernel) + to_numpy(model.head.bias)
    np.testing.assert_allclose(to_numpy(model(images)), expected, atol=1e-5)


def test_fine_tunes_the_encoder_of_a_pretrained_model(tmp_path):
    """Dark against bright: a few steps tell them apart, with all parts of the recipe on."""
    pretrained = tiny_eesmm()
    backbone = pretrained.backbone
    model = ImageClassifier(backbone, 2, class_names=("dark", "bright"))
    rng = np.random.default_rng(0)
    labels = np.arange(16) % 2
    images = rng.integers(0, 128, (16, 32, 32, 3)) + 127 * labels[:, None, None, None]
    before = [np.array(to_numpy(variable)) for variable in backbone.trainable_variables]
    optimizer = LayerDecayAdamW(
        3e-3, lr_scales=layer_decay_scales(backbone, 0.8), use_ema=True, ema_momentum=0.5
    )
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    model.compile(optimizer, loss, metrics=["accuracy"])
    model.fit(images, np.eye(2)[labels], batch_size=16, epochs=12, verbose=0)
    assert model.evaluate(images, np.eye(2)[labels], verbose=0)[1] == 1.0
    for variable, old in zip(backbone.trainable_variables, before, strict=True):
        assert np.abs(to_numpy(variable) - old).max() > 0, variable.path

    model.save(tmp_path / "c.keras")
    again = load_model(tmp_path / "c.keras")
    assert again.class_names == ("dark", "bright")
    assert again.get_config() == model.get_config()
    np.testing.assert_allclose(to_numpy(again(images)), to_numpy(model(images)), atol=1e-6)


def test_logits_are_float32_under_mixed_precision():
    backbone = tiny_backbone(dtype="mixed_bfloat16")
    model = ImageClassifier(backbone, 2)
    assert keras.backend.standardize_dtype(model(random_images(1)).dtype) == "float32"


def test_dropout_acts_in_training_only():
    model = ImageClassifier(tiny_backbone(), 2, dropout=0.5)
    images = random_images(8)
    assert (to_numpy(model(images, training=True)) != to_numpy(model(images))).any()
    np.testing.assert_array_equal(to_numpy(model(images)), to_numpy(model(images)))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_classes": 1}, "at least 2 classes"),
        ({"num_classes": 3, "class_names": ("a", "b")}, "3 names"),
    ],
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ImageClassifier(tiny_backbone(), **kwargs)


def test_wrong_inputs():
    with pytest.raises(ValueError, match=r"takes an encoder.*got 'swin_mini_32'"):
        ImageClassifier("swin_mini_32", 3)
    model, images = ImageClassifier(tiny_backbone(), 3), random_images(4)
    model.compile("adamw", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(UserError, match="learns from labels"):
        model.fit(images, verbose=0)
    with pytest.raises(UserError, match="from 0 to 2, got 0 to 3"):
        model.fit(images, np.arange(4), verbose=0)


def test_a_head_on_the_class_token(tmp_path):
    sizes = {"image_shape": (32, 32, 3), "patch_size": 8, "dim": 16, "depth": 2, "num_heads": 2}
    backbone = ViTBackbone(**sizes)
    model, images = ImageClassifier(backbone, 3, pooling="token"), random_images(4)
    # The same network, layer by layer: positions, token, blocks, the token of the last norm.
    x = backbone.embed(backbone.normalization(images))
    x = backbone.token(backbone.absolute_positions(keras.ops.reshape(x, (4, 16, 16))))
    for block in backbone.blocks:
        x = block(x)
    token = to_numpy(backbone.norm(x))[:, 0]
    expected = token @ to_numpy(model.head.kernel) + to_numpy(model.head.bias)
    np.testing.assert_allclose(to_numpy(model(images)), expected, atol=1e-5)
    model.save(tmp_path / "c.keras")
    again = load_model(tmp_path / "c.keras")
    assert again.pooling == "token"
    np.testing.assert_allclose(to_numpy(again(images)), expected, atol=1e-5)


def test_a_head_on_a_class_token_needs_one():
    with pytest.raises(ValueError, match="needs an encoder with a class token"):
        ImageClassifier(tiny_backbone(), 2, pooling="token")
    with pytest.raises(ValueError, match="Unknown pooling 'max'"):
        ImageClassifier(tiny_backbone(), 2, pooling="max")

"""The contract that every encoder keeps; a new file in backbones/ is tested here by itself."""

import time

import keras
import numpy as np
import pytest

from conftest import random_images, to_numpy
from eesmm_keras import SwinBackbone, ViTBackbone, backbones, load_model
from eesmm_keras.errors import UserError
from eesmm_keras.training.optimizer import LayerDecayAdamW, is_decayed

# Small arguments for encoders whose smallest preset is large; others take their smallest preset.
SMALL = {
    "convit": {
        "image_shape": (32, 32, 3), "patch_size": 2, "dims": (8, 16), "depths": (1, 2),
        "num_heads": 2,
    },
    "swin": {
        "image_shape": (32, 32, 3), "embed_dim": 16, "depths": (1, 2), "num_heads": (2, 2),
        "window_size": 3, "patch_size": 2, "positions": "sincos",
    },
    "twins": {
        "image_shape": (32, 32, 3), "patch_size": 2, "dims": (8, 16), "depths": (2, 1),
        "num_heads": (1, 2), "window_size": 3, "reductions": (2, 1),
    },
    "vit": {"image_shape": (32, 32, 3), "patch_size": 4, "dim": 16, "depth": 2, "num_heads": 2},
}  # fmt: skip


def build(name):
    return backbones.FAMILY.get(name)(**SMALL.get(name, {}))


every_encoder = pytest.mark.parametrize("name", backbones.FAMILY.names())


@every_encoder
def test_config_is_made_of_the_arguments(name):
    backbone = build(name)
    config = backbone.get_config()
    for argument, value in SMALL.get(name, {}).items():
        assert getattr(backbone, argument) == config[argument] == value
    assert type(backbone).from_config(config).get_config() == config


@every_encoder
def test_features_survive_a_file(name, tmp_path):
    extractor = build(name).feature_extractor()
    extractor.save(tmp_path / "features.keras")
    images = random_images(2)
    mine, loaded = extractor(images), load_model(tmp_path / "features.keras")(images)
    assert mine.keys() == loaded.keys() >= {"pooled", "feature_map"}
    for key, value in mine.items():
        np.testing.assert_allclose(to_numpy(value), to_numpy(loaded[key]), atol=1e-5)


@every_encoder
def test_only_kernels_decay(name):
    backbone = build(name)
    decayed = {v.name for v in backbone.variables if is_decayed(v, backbone.no_weight_decay)}
    assert decayed == {"kernel"}


@every_encoder
def test_depths_and_sizes_are_those_of_the_contract(name):
    backbone = build(name)
    depths = [backbone.depth_of(variable.path) for variable in backbone.trainable_variables]
    assert set(depths) == set(range(backbone.num_blocks + 2))
    rows, cols = backbone.grid
    assert backbone.image_shape[:2] == (rows * backbone.stride, cols * backbone.stride)
    assert tuple(backbone.output.shape) == (None, rows, cols, backbone.num_features)
    assert tuple(backbone.pooled_output.shape) == (None, backbone.num_features)
    assert backbone.presets.keys() <= backbones.all_presets().keys()


@every_encoder
def test_hiding_units_saves_work(name):
    backbone = build(name)
    units = np.arange(backbone.grid[0] * backbone.grid[1])
    assert backbone.macs(units) == backbone.macs()
    assert backbone.macs(units[:8]) < backbone.macs() / 4


@every_encoder
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_size": 0}, "patch_size must be a whole number from 1"),
        ({"patch_size": "4"}, "patch_size must be a whole number, got '4'"),
        ({"mean": (0, 0, 0), "std": (0, 0, 0)}, "std must be positive"),
        ({"std": (1, float("nan"), 1)}, "std must be a number"),
        ({"image_shape": (32, 32, 1)}, "Images of 1 channels need 1 numbers"),
        ({"image_shape": (32, 32)}, "image_shape must be a list of 3"),
        ({"image_shape": (10**6, 10**6, 3)}, "image_shape must be a whole number from 1 to 4096"),
        ({"image_shape": (30, 30, 3), "patch_size": 4}, "multiple of"),
        ({"mlp_ratio": 1e9}, "mlp_ratio"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
        ({"drop_path": "x"}, "drop_path must be a number"),
        ({"include_normalization": "yes"}, "true or false"),
    ],
)
def test_constructors_check_their_arguments(name, arguments, message):
    cls = backbones.FAMILY.get(name)
    with pytest.raises(ValueError, match=message):
        cls(**{**SMALL.get(name, {}), **arguments})


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (ViTBackbone, {"depth": 10**7}, "depth must be a whole number from 1 to 256"),
        (ViTBackbone, {"dim": 10**7}, "dim must be"),
        (ViTBackbone, {"dim": 16384, "depth": 256, "num_heads": 16}, "parameters"),
        (ViTBackbone, {"num_heads": 0}, "num_heads must be"),
        (ViTBackbone, {"image_shape": (4096, 4096, 3), "patch_size": 1}, "65536 mask units"),
        (SwinBackbone, {"depths": (10**7, 1)}, "depths must be"),
        (SwinBackbone, {"embed_dim": 10**9}, "embed_dim must be"),
        (SwinBackbone, {"window_size": 10**6}, "window_size must be"),
        (SwinBackbone, {"num_heads": (2,)}, "one number per stage"),
    ],
)
def test_absurd_sizes_are_refused_at_once(cls, arguments, message):
    small = SMALL["vit" if cls is ViTBackbone else "swin"]
    start = time.monotonic()
    with pytest.raises(ValueError, match=message):
        cls(**{**small, **arguments})
    assert time.monotonic() - start < 1


def test_other_channels_with_their_own_statistics():
    backbone = ViTBackbone(**{**SMALL["vit"], "image_shape": (32, 32, 1)}, mean=[0.5], std=[0.2])
    assert backbone(np.zeros((1, 32, 32, 1))).shape == (1, 8, 8, 16)


def test_the_model_tells_the_optimizer_what_not_to_decay():
    class_token = ViTBackbone(**SMALL["vit"])
    optimizer = LayerDecayAdamW(1e-3)
    model = keras.Sequential([class_token])
    model.compile(optimizer)
    assert optimizer.undecayed is None
    from eesmm_keras import MAE

    small = {"decoder_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2, "seed": 1}
    method = MAE(class_token, **small)
    method.compile(optimizer)
    assert set(optimizer.undecayed) >= {"class_token", "mask_token"}
    optimizer.build(method.trainable_variables)
    decayed = {variable.name for variable in method.trainable_variables
               if optimizer.undecayed and is_decayed(variable, optimizer.undecayed)}  # fmt: skip
    assert decayed == {"kernel"}


def test_an_unknown_encoder_is_told():
    with pytest.raises(UserError, match="Did you mean 'swin_tiny'"):
        backbones.preset_arguments("swin_tinny")

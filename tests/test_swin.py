"""The dense Swin: parity with transformers' SwinModel, outputs, saving, errors."""

import keras
import numpy as np
import pytest

from conftest import random_images, tiny_backbone, to_numpy
from eesmm_keras import SwinBackbone, load_model
from eesmm_keras.backbones import from_preset
from eesmm_keras.errors import UserError

# Eager JAX compiles every operation for every shape.
ON_JAX = keras.backend.backend() == "jax"


def copy_weights(peer, backbone):
    """Random weights of a transformers SwinModel into a SwinBackbone."""
    weights = {name: value.detach().numpy() for name, value in peer.state_dict().items()}

    def linear(layer, *names):
        layer.kernel.assign(np.concatenate([weights[f"{n}.weight"] for n in names]).T)
        if layer.use_bias:
            layer.bias.assign(np.concatenate([weights[f"{n}.bias"] for n in names]))

    def norm(layer, name):
        layer.gamma.assign(weights[f"{name}.weight"])
        layer.beta.assign(weights[f"{name}.bias"])

    kernel = weights["embeddings.patch_embeddings.projection.weight"]  # (C, 3, p, p)
    embedding = backbone.patch_embedding
    embedding.projection.kernel.assign(kernel.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0]))
    embedding.projection.bias.assign(weights["embeddings.patch_embeddings.projection.bias"])
    norm(embedding.norm, "embeddings.norm")
    for i, stage in enumerate(backbone.stages):
        for j, block in enumerate(stage.blocks):
            at = f"encoder.layers.{i}.blocks.{j}"
            attention = f"{at}.attention"
            linear(block.attention.qkv, *(f"{attention}.{part}_proj" for part in "qkv"))
            linear(block.attention.projection, f"{attention}.o_proj")
            block.attention.relative_position_table.assign(
                weights[f"{attention}.relative_position_bias.relative_position_bias_table"]
            )
            norm(block.norm1, f"{at}.layernorm_before")
            norm(block.norm2, f"{at}.layernorm_after")
            linear(block.mlp.expand, f"{at}.mlp.fc1")
            linear(block.mlp.contract, f"{at}.mlp.fc2")
        if i < len(backbone.mergings):
            merging = backbone.mergings[i]
            merging.reduction.kernel.assign(
                weights[f"encoder.layers.{i}.downsample.reduction.weight"].T
            )
            norm(merging.norm, f"encoder.layers.{i}.downsample.norm")
    norm(backbone.norm, "layernorm")


@pytest.mark.parametrize(
    ("size", "window"),
    [(224, 7), pytest.param(160, 4, id="padded-160-4")] + ([] if ON_JAX else [(192, 6)]),
)
def test_equals_transformers_at_every_stage(size, window):
    torch = pytest.importorskip("torch")
    from transformers import SwinConfig, SwinModel

    shape = {"embed_dim": 24, "depths": (2, 2, 4, 2), "num_heads": (1, 2, 4, 8)}
    torch.manual_seed(0)
    config = SwinConfig(image_size=size, window_size=window, **shape)
    peer = SwinModel(config).eval()
    with torch.no_grad():
        # Larger than at initialisation: biases and tables must matter.
        for parameter in peer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    backbone = SwinBackbone(image_shape=(size, size, 3), window_size=window, **shape)
    copy_weights(peer, backbone)
    images = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")
    with torch.no_grad():
        pixels = (images / 255 - np.array(backbone.mean)) / np.array(backbone.std)
        pixels = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype("float32").copy())
        theirs = peer(pixels, output_hidden_states=True)
        before = []
        for layer in peer.encoder.layers:
            layer.blocks[-1].register_forward_hook(
                lambda module, args, output: before.append(
                    output[0] if isinstance(output, tuple) else output
                )
            )
        peer(pixels)
    ours = backbone.feature_extractor()(images)

    def close(mine, other):
        np.testing.assert_allclose(
            to_numpy(mine).reshape(other.shape), other.numpy(), rtol=1e-4, atol=1e-4
        )

    close(ours["feature_map"], theirs.last_hidden_state)
    close(ours["pooled"], theirs.pooler_output)
    for level, other in zip(("P2", "P3", "P4"), before, strict=False):
        close(ours[level], other)
    # transformers' hidden states: the embedding, then every stage after its patch merging.
    for number, merging in enumerate(backbone.mergings):
        close(merging(ours[f"P{number + 2}"]), theirs.hidden_states[number + 1])


def test_outputs():
    backbone = SwinBackbone.from_preset("swin_mini_32")
    outputs = backbone.feature_extractor()(random_images(2))
    shapes = {name: tuple(value.shape) for name, value in outputs.items()}
    assert shapes == {
        "pooled": (2, 192),
        "feature_map": (2, 4, 4, 192),
        "P1": (2, 16, 16, 48),
        "P2": (2, 8, 8, 96),
        "P3": (2, 4, 4, 192),
    }
    np.testing.assert_allclose(
        to_numpy(outputs["pooled"]), to_numpy(outputs["feature_map"]).mean((1, 2)), atol=1e-5
    )


def test_normalises_pixels_inside_the_graph():
    backbone = tiny_backbone()
    bare = tiny_backbone(include_normalization=False)
    bare.set_weights(backbone.get_weights())
    images = random_images(2)
    normalised = (images / 255.0 - backbone.mean) / backbone.std
    expected = to_numpy(bare(normalised.astype("float32")))
    np.testing.assert_allclose(to_numpy(backbone(images)), expected, atol=1e-4)
    np.testing.assert_allclose(
        to_numpy(backbone(images.astype("float32"))), to_numpy(backbone(images)), atol=1e-6
    )


def test_saves_and_loads_equal(tmp_path):
    backbone = tiny_backbone(
        mlp_ratio=3.0, qkv_bias=False, drop_path=0.1, dropout=0.1, attention_dropout=0.1,
        include_normalization=False, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0),
    )  # fmt: skip
    backbone.save(tmp_path / "b.keras")
    again = load_model(tmp_path / "b.keras")
    assert again.get_config() == backbone.get_config()
    images = random_images(2)
    np.testing.assert_array_equal(to_numpy(again(images)), to_numpy(backbone(images)))


def test_dropout_and_drop_path_act_in_training_only():
    for rate in ({"drop_path": 0.5}, {"dropout": 0.5}, {"attention_dropout": 0.5}):
        backbone = tiny_backbone(**rate)
        images = random_images(4)
        first, second = (to_numpy(backbone(images, training=True)) for _ in range(2))
        assert np.abs(first - second).max() > 1e-3, rate
        first, second = (to_numpy(backbone(images, training=False)) for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_layer_depths_grow_from_input_to_output():
    backbone = SwinBackbone.from_preset("swin_mini_32")
    depths = [backbone.depth_of(variable.path) for variable in backbone.variables]
    assert depths == sorted(depths)
    assert set(depths) == set(range(backbone.num_blocks + 2))


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="shapes do not depend on the backend"
)
def test_base_has_the_published_number_of_parameters():
    # Liu et al., 2021, Table 1: Swin-T 29 M, Swin-B 88 M with a 1000-way classifier.
    for name, published in (("swin_tiny", 28.3), ("swin_base", 87.8)):
        backbone = SwinBackbone.from_preset(name)
        total = backbone.count_params() + backbone.num_features * 1000 + 1000
        assert total / 1e6 == pytest.approx(published, abs=0.1)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"image_shape": (102, 102, 3)}, "multiple of 4,.*got 102x102"),
        ({"image_shape": (30, 30, 3)}, "Nearest sizes: 28 and 32"),
        ({"num_heads": (2,)}, "one number per stage"),
        ({"num_heads": (3, 4)}, "must divide"),
        ({"patch_size": 3, "image_shape": (36, 36, 3)}, "power of two"),
        ({"window_size": 0}, "window_size"),
        ({"drop_path": 1.5}, r"drop_path must lie in \[0, 1\)"),
    ],
)
def test_sizes_that_do_not_fit(kwargs, message):
    with pytest.raises(ValueError, match=message):
        tiny_backbone(**kwargs)


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ValueError, match=r"Did you mean 'swin_tiny'\? Known: .*swin_base"):
        SwinBackbone.from_preset("swin_tinny")


def test_a_name_may_change_arguments_and_kernels_begin_as_told():
    name = "swin_mini_32:depths=[2, 4]:num_heads=[2, 4]:kernel_initializer=glorot_uniform"
    backbone = from_preset(name, embed_dim=64)
    assert backbone.grid == (8, 8)
    assert backbone.num_features == 128
    again = SwinBackbone.from_config(backbone.get_config())
    swin = from_preset("swin_mini_32", embed_dim=64)
    for variable, public in zip(again.stages[0].weights, swin.stages[0].weights, strict=True):
        if variable.path.endswith("kernel"):
            assert to_numpy(variable).std() == pytest.approx(
                (2 / sum(variable.shape)) ** 0.5, rel=0.05
            )
            # 0.02, cut at two deviations.
            assert to_numpy(public).std() == pytest.approx(0.0176, rel=0.05)
    with pytest.raises(UserError, match="Did you mean 'window_size'"):
        from_preset("swin_mini_32:windowsize=3")
    with pytest.raises(UserError, match="Did you mean 'swin_mini_32'"):
        from_preset("swin_mini_3:window_size=3")


def test_weights_are_float32_and_compute_follows_the_policy():
    backbone = tiny_backbone(dtype="mixed_bfloat16")
    assert {variable.dtype for variable in backbone.trainable_variables} == {"float32"}
    assert keras.backend.standardize_dtype(backbone(random_images(1)).dtype) == "bfloat16"

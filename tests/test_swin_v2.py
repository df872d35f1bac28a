"""Swin V2: parity with transformers' Swinv2Model, and visible tokens against the dense network."""

import keras
import numpy as np
import pytest
from test_sparse_encoder import dense_masked, sparse, visible_units

from conftest import tiny_backbone, to_numpy
from eesmm_keras import SwinBackbone

ON_JAX = keras.backend.backend() == "jax"
SHAPE = {"embed_dim": 12, "depths": (2, 1, 1), "num_heads": (1, 2, 2)}


def values_of(peer):
    """transformers' weights by our paths."""
    state = {name: value.detach().numpy() for name, value in peer.state_dict().items()}
    found = {}

    def layer(ours, theirs):
        weight, bias = state[f"{theirs}.weight"], state.get(f"{theirs}.bias")
        norm = weight.ndim == 1
        found[f"{ours}/gamma" if norm else f"{ours}/kernel"] = weight if norm else weight.T
        if bias is not None:
            found[f"{ours}/beta" if norm else f"{ours}/bias"] = bias

    patches = state["embeddings.patch_embeddings.projection.weight"]
    layer("patch_embedding/norm", "embeddings.norm")
    layer("norm", "layernorm")
    found["patch_embedding/projection/kernel"] = patches.transpose(2, 3, 1, 0).reshape(-1, 12)
    found["patch_embedding/projection/bias"] = state["embeddings.patch_embeddings.projection.bias"]
    for i, depth in enumerate(SHAPE["depths"]):
        for j in range(depth):
            ours, theirs = f"stage_{i}/block_{j}", f"encoder.layers.{i}.blocks.{j}"
            for mine, other in (
                ("norm1", "layernorm_before"), ("norm2", "layernorm_after"),
                ("attention/projection", "attention.output.dense"),
                ("mlp/expand", "intermediate.dense"), ("mlp/contract", "output.dense"),
            ):  # fmt: skip
                layer(f"{ours}/{mine}", f"{theirs}.{other}")
            attention = f"{theirs}.attention.self"
            kernels = [state[f"{attention}.{part}.weight"].T for part in ("query", "key", "value")]
            found[f"{ours}/attention/qkv/kernel"] = np.concatenate(kernels, axis=1)
            mlp = f"{attention}.continuous_position_bias_mlp"
            for name, value in (
                ("logit_scale", state[f"{attention}.logit_scale"]),
                ("query_bias", state[f"{attention}.query.bias"]),
                ("value_bias", state[f"{attention}.value.bias"]),
                ("offset_in", state[f"{mlp}.0.weight"].T),
                ("offset_bias", state[f"{mlp}.0.bias"]),
                ("offset_out", state[f"{mlp}.2.weight"].T),
            ):
                found[f"{ours}/attention/{name}"] = value
        if i < len(SHAPE["depths"]) - 1:
            layer(f"merging_{i}/norm", f"encoder.layers.{i}.downsample.norm")
            layer(f"merging_{i}/reduction", f"encoder.layers.{i}.downsample.reduction")
    return found


@pytest.mark.parametrize(("size", "window"), [(64, 4)] if ON_JAX else [(64, 4), (48, 5)])
def test_equals_transformers(size, window):
    torch = pytest.importorskip("torch")
    from transformers import Swinv2Config, Swinv2Model

    torch.manual_seed(0)
    peer = Swinv2Model(Swinv2Config(image_size=size, window_size=window, **SHAPE)).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    backbone = SwinBackbone((size, size, 3), window_size=window, version=2, **SHAPE)
    values = values_of(peer)
    assert {variable.path for variable in backbone.weights} == set(values)
    for variable in backbone.weights:
        variable.assign(values[variable.path])
    images = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")
    pixels = ((images / 255 - np.array(backbone.mean)) / np.array(backbone.std)).astype("float32")
    with torch.no_grad():
        theirs = peer(
            torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), output_hidden_states=True
        )
    ours = backbone.feature_extractor().predict_on_batch(images)

    def close(mine, other):
        mine = to_numpy(mine)
        np.testing.assert_allclose(mine.reshape(other.shape), other.numpy(), rtol=1e-4, atol=1e-4)

    close(ours["feature_map"], theirs.last_hidden_state)
    close(ours["pooled"], theirs.pooler_output)
    # transformers' hidden states: the embedding, then every stage after its patch merging.
    for number, merging in enumerate(backbone.mergings):
        close(merging(ours[f"P{number + 2}"]), theirs.hidden_states[number + 1])


@pytest.mark.skipif(ON_JAX, reason="eager JAX compiles every operation for every shape")
def test_visible_tokens_equal_the_dense_network():
    backbone, rng = tiny_backbone(version=2), np.random.default_rng(1)
    backbone.set_weights([w + rng.normal(0, 0.3, w.shape) for w in backbone.get_weights()])
    images = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    visible = visible_units(backbone.grid, 0.75)
    expected = to_numpy(dense_masked(backbone, images, visible))
    np.testing.assert_allclose(
        to_numpy(sparse(backbone, images, visible)), expected, rtol=1e-4, atol=1e-4
    )
    everything = to_numpy(sparse(backbone, images, np.arange(64)))
    assert np.abs(everything[:, visible] - expected).max() > 1e-2

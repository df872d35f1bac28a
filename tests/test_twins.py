"""Twins: parity with timm, visible tokens against the dense network, negative controls, training."""

import keras
import numpy as np
import pytest
from keras import ops
from test_sparse_encoder import enlarge_weights, sparse, visible_units

from conftest import random_images, to_numpy
from eesmm_keras import EESMM, GreenMIM, TwinsBackbone
from eesmm_keras.converters.importing import import_weights
from eesmm_keras.ops.patches import gather_cells, patchify
from eesmm_keras.training.optimizer import LayerDecayAdamW

ON_JAX = keras.backend.backend() == "jax"
STAGES = {"depths": (2, 3, 1), "num_heads": (1, 2, 2), "reductions": (4, 2, 1)}
SVT = {"image_shape": (64, 96, 3), "dims": (8, 12, 16), "window_size": 3, **STAGES}
PCPVT = {**SVT, "window_size": None, "mlp_ratio": (8.0, 4.0, 4.0), "reductions": (2, 2, 1)}
KINDS = {"svt": SVT, "pcpvt": PCPVT, "larger windows than maps": {**SVT, "window_size": (7, 5, 5)}}


def built(kind, **kwargs):
    backbone = TwinsBackbone(**{**KINDS[kind], **kwargs})
    enlarge_weights(backbone)
    rng = np.random.default_rng(2)
    for stage in backbone.stages:
        stage.positions.filters.assign(rng.normal(size=stage.positions.filters.shape))
    return backbone


def compiled(function):
    """On JAX one program instead of one for each operation and shape."""
    if not ON_JAX:
        return function
    import jax

    return jax.jit(function)


def pixels(backbone, count=2):
    shape = (count, *backbone.image_shape)
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def dense_masked(backbone, images, visible, spoil=None):
    """Dense network in which hidden units contribute nothing; see `test_sparse_encoder`."""
    hidden = np.ones(backbone.grid[0] * backbone.grid[1], bool)
    hidden[visible] = False
    x = backbone.patch_embedding(patchify(backbone.normalization(images), backbone.patch_size))
    for number, stage in enumerate(backbone.stages):
        side = stage.height // backbone.grid[0]
        tokens = stage.whole_map(
            np.kron(hidden.reshape(backbone.grid), np.ones((side, side), bool))
        )
        if spoil and getattr(tokens, spoil) is not None:
            setattr(tokens, spoil, getattr(stage.whole_map(), spoil))
        x = stage.run(x, tokens)
        if number < len(backbone.mergings):
            x = backbone.mergings[number](gather_cells(x, 2))
    x = backbone.norm(x)
    return ops.take(ops.reshape(x, (x.shape[0], -1, x.shape[-1])), visible, axis=1)


@pytest.mark.parametrize("kind", ["svt"] if ON_JAX else KINDS)
def test_visible_tokens_equal_the_dense_network(kind):
    backbone, ratios = built(kind), (0.75,) if ON_JAX else (0.5, 0.75, 0.9)
    for seed, ratio in enumerate(ratios):
        examples = [visible_units(backbone.grid, ratio, seed + i) for i in range(3)]
        plan = backbone.planner(examples).plan(examples[0])
        mine, expected = (
            to_numpy(compiled(encode)(pixels(backbone)))
            for encode in (
                lambda x, plan=plan, shown=examples[0]: sparse(backbone, x, shown, plan),
                lambda x, shown=examples[0]: dense_masked(backbone, x, shown),
            )
        )
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-4)


def test_all_units_visible_is_the_dense_network():
    backbone = built("svt")
    images, everything = pixels(backbone), np.arange(24)
    mine = to_numpy(compiled(lambda x: sparse(backbone, x, everything))(images))
    expected = to_numpy(backbone.predict_on_batch(images)).reshape(mine.shape)
    np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-4)


def test_the_dense_reference_sees_nothing_hidden():
    """What it is compared with: other hidden pixels change nothing; each part of the mask matters."""
    backbone = built("svt")
    visible, images = visible_units(backbone.grid, 0.75), pixels(backbone)
    shown = np.zeros(backbone.grid[0] * backbone.grid[1])
    shown[visible] = 1
    shown = np.kron(shown.reshape(backbone.grid), np.ones((16, 16)))[None, :, :, None]
    other = (images * shown + (255 - images) * (1 - shown)).astype("float32")
    encode = compiled(lambda x: dense_masked(backbone, x, visible))
    expected = to_numpy(encode(images))
    np.testing.assert_allclose(to_numpy(encode(other)), expected, atol=1e-4)
    for spoil in ("windows", "hidden_keys", "_visible"):
        encode = compiled(lambda x, spoil=spoil: dense_masked(backbone, x, visible, spoil=spoil))
        spoiled = to_numpy(encode(images))
        assert np.abs(spoiled - expected).max() > 1e-2, spoil


@pytest.mark.parametrize("spoil", ["token"] if ON_JAX else ["segment", "inverse", "token", "place"])
def test_wrong_plans_fail(spoil):
    """Negative controls: the equality notices wrong windows, order and neighbours."""
    backbone = built("svt")
    visible = visible_units(backbone.grid, 0.75)
    plan = backbone.planner([visible]).plan(visible)
    entry = plan["stage_0"] if spoil in plan["stage_0"] else plan["stage_0"]["plain"]
    entry[spoil] = np.roll(entry[spoil], 1, axis=0)
    if spoil == "segment":
        entry[spoil] = np.zeros_like(entry[spoil])
    mine, expected = (
        to_numpy(compiled(encode)(pixels(backbone)))
        for encode in (
            lambda x: sparse(backbone, x, visible, plan),
            lambda x: dense_masked(backbone, x, visible),
        )
    )
    assert np.abs(mine - expected).max() > 1e-2


@pytest.mark.parametrize("kind", ["svt"] if ON_JAX else ["svt", "pcpvt"])
@pytest.mark.parametrize("size", [(96, 64)] if ON_JAX else [(96, 64), (48, 48)])
def test_equals_timm_at_every_stage(kind, size, tmp_path):
    torch, timm = pytest.importorskip("torch"), pytest.importorskip("timm")
    from safetensors.torch import save_file

    if kind == "pcpvt" and size == (48, 48):
        pytest.skip("no windows that could be padded")
    torch.manual_seed(0)
    peer = timm.create_model(
        f"twins_{kind}_small", num_classes=0, img_size=size, embed_dims=[8, 12, 16],
        depths=[2, 3, 1], num_heads=[1, 2, 2], mlp_ratios=[8, 4, 4],
        sr_ratios=[4, 2, 1], **({"wss": [7, 7, 7]} if kind == "svt" else {}),
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    save_file(peer.state_dict(), tmp_path / "twins.safetensors")
    windows = {"window_size": 7 if kind == "svt" else None, "mlp_ratio": (8.0, 4.0, 4.0)}
    backbone = TwinsBackbone(**{**SVT, **windows, "image_shape": (*size, 3)})
    report = import_weights(backbone, str(tmp_path / "twins.safetensors"))
    assert report.coverage == 1
    assert not report.left_over
    images = pixels(backbone)
    values = ((images / 255 - np.array(backbone.mean)) / np.array(backbone.std)).astype("float32")
    with torch.no_grad():
        theirs = peer.forward_intermediates(
            torch.from_numpy(values.transpose(0, 3, 1, 2).copy()),
            norm=True,
            intermediates_only=True,
        )
    ours = backbone.feature_extractor().predict_on_batch(images)
    for level, other in zip(("P2", "P3", "P4"), theirs, strict=True):
        np.testing.assert_allclose(
            to_numpy(ours[level]), other.numpy().transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("method", [GreenMIM, EESMM])
def test_every_variable_learns(method):
    backbone = TwinsBackbone(
        image_shape=(32, 32, 3), dims=(8, 12), depths=(2, 1), num_heads=(1, 2), reductions=(2, 1)
    )
    model = method(
        backbone, decoder_dim=16, decoder_num_heads=2, mask_bank_size=4, seed=1, mask_ratio=0.5
    )
    before = [to_numpy(variable) for variable in model.trainable_variables]
    model.compile(LayerDecayAdamW(3e-3, weight_decay=0.0))
    images = np.concatenate([random_images(4)] * 3)
    history = model.fit(images, batch_size=4, epochs=1, verbose=0, shuffle=False).history
    assert np.isfinite(history["loss"]).all()
    for old, variable in zip(before, model.trainable_variables, strict=True):
        assert np.abs(old - to_numpy(variable)).max() > 0, variable.path


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="shapes do not depend on the backend"
)
def test_has_the_published_number_of_parameters():
    # Chu et al., 2021, Table 3, with a 1000-way classifier.
    backbone = TwinsBackbone.from_preset("twins_svt_small")
    total = backbone.count_params() + backbone.num_features * 1000 + 1000
    assert total / 1e6 == pytest.approx(24.0, abs=0.1)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"reductions": (8, 2, 1)}, "reductions must be a whole number from 1 to 4"),
        ({"reductions": (3, 2, 1)}, "cells of stage 0 must be whole in a mask unit, 4 tokens"),
        ({"window_size": 1}, "window_size must be a whole number from 2"),
        ({"dims": (8, 12)}, "dims must be a list of 3 values"),
        ({"mlp_ratio": (4, 4)}, "mlp_ratio must be a list of 3 values"),
        ({"image_shape": (60, 60, 3)}, "multiple of 16"),
    ],
)
def test_sizes_that_do_not_fit(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TwinsBackbone(**{**SVT, **kwargs})

"""On PyTorch: a step never waits for its device, and fused kernels compute what plain operations do."""

from unittest import mock

import keras
import numpy as np
import pytest

from conftest import random_images, tiny_backbone, tiny_eesmm, to_numpy
from eesmm_keras import ImageClassifier, LayerDecayAdamW, TwinsBackbone, ViTBackbone
from eesmm_keras.device_waits import SeedGenerator
from eesmm_keras.methods import greenmim, mixmim, simmim
from eesmm_keras.ops import attention

if keras.backend.backend() != "torch":
    pytest.skip("of PyTorch", allow_module_level=True)

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SMALL = {"decoder_dim": 16, "decoder_num_heads": 2, "decoder_depth": 1, "seed": 1}
MODELS = {
    "eesmm": lambda: tiny_eesmm(tiny_backbone(drop_path=0.2)),
    "views": lambda: tiny_eesmm(mixing="views", decomposition="split"),
    "simmim": lambda: simmim.SimMIM(tiny_backbone(dropout=0.1, attention_dropout=0.1), seed=1),
    "greenmim": lambda: greenmim.GreenMIM(tiny_backbone(), mask_bank_size=4, **SMALL),
    "mixmim": lambda: mixmim.MixMIM(tiny_backbone(), **SMALL),
    "classifier": lambda: ImageClassifier(tiny_backbone(drop_path=0.2), 3),
}


class Waits(TorchDispatchMode):
    """Counts numbers read from tensors, and tensors made of Python's numbers or NumPy's."""

    def __init__(self):
        super().__init__()
        self.read, self.copied = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        self.read += name.startswith(("aten._local_scalar_dense", "aten.nonzero", "aten.equal"))
        self.copied += name.startswith("aten.lift_fresh")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", list(MODELS))
def test_a_step_reads_nothing_back(name):
    model, batch = MODELS[name](), (torch.from_numpy(random_images(4)),)
    if name == "classifier":
        batch = (*batch, torch.eye(3)[[0, 1, 2, 0]])
    model.compile(LayerDecayAdamW(1e-3), keras.losses.CategoricalCrossentropy(from_logits=True))
    model.train_step(batch)
    with Waits() as waits:
        model.train_step(batch)
    assert waits.read == 0
    if name == "eesmm":
        # The scale and offset of the pixels, two divisors and the count of steps.
        assert waits.copied <= 5


def test_reading_is_noticed():
    with Waits() as waits:
        float(torch.ones(()).sum())
    assert waits.read == 1


def test_seeds_are_those_of_keras_and_follow_what_is_written():
    mine, theirs = SeedGenerator(7), keras.random.SeedGenerator(7)
    for _ in range(3):
        assert list(mine.next()) == to_numpy(theirs.next()).tolist()
    np.testing.assert_array_equal(to_numpy(mine.state), to_numpy(theirs.state))
    mine.state.assign([3, 9])
    assert list(mine.next()) == [3, 9]
    assert to_numpy(mine.state).tolist() == [3, 10]
    with Waits() as waits:
        mine.next()
    assert waits.read == 0


@pytest.mark.parametrize(
    "make",
    [
        tiny_backbone,
        lambda: ViTBackbone((32, 32, 3), patch_size=8, dim=16, depth=1, num_heads=2),
        lambda: TwinsBackbone.from_preset("twins_mini_32"),
    ],
)
def test_fused_attention_equals_plain_operations(make):
    """Features, and gradients with regard to the weights, a trained bias included."""
    backbone, images = make(), random_images(2)
    backbone(images)
    found = []
    for fused in (True, False):
        with mock.patch.object(attention, "_is_fused", lambda *parts, on=fused: on):
            backbone.zero_grad()
            features = backbone(images, training=True)
            features.square().mean().backward()
        found.append([features, *(v.value.grad for v in backbone.trainable_variables)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(to_numpy(one), to_numpy(other), rtol=1e-4, atol=1e-5)


def test_attention_is_fused_where_pytorch_has_a_kernel():
    query = torch.ones((2, 1, 4, 8))
    bias = torch.zeros((1, 1, 4, 4), requires_grad=True)
    fused = []
    for how in (None, bias.detach(), bias):
        with mock.patch("torch.nn.functional.scaled_dot_product_attention") as kernel:
            kernel.return_value = query
            attention.attention(query, query, query, how)
        fused.append(kernel.called)
    assert fused == [True, True, False]

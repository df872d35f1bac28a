"""LayerDecayAdamW: factors, decay and parity with PyTorch's AdamW with parameter groups."""

import keras
import numpy as np
import pytest

from conftest import tiny_backbone, tiny_eesmm, to_numpy
from eesmm_keras.training.optimizer import UNDECAYED_BEFORE, LayerDecayAdamW, layer_decay_scales


def steps(optimizer, variables, gradients):
    optimizer.build(variables)
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradient], variables)
    return [to_numpy(variable) for variable in variables]


def test_equals_torch_with_parameter_groups():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values = [rng.normal(size=shape).astype("float32") for shape in ((3, 4), (4,), (5, 2))]
    names = ("kernel", "bias", "relative_position_table")
    variables = [
        keras.Variable(value, name=name) for value, name in zip(values, names, strict=True)
    ]
    gradients = [[rng.normal(size=v.shape).astype("float32") for v in values] for _ in range(4)]
    scales = {variables[0].path: 0.5, variables[1].path: 0.25}
    optimizer = LayerDecayAdamW(
        0.1, weight_decay=0.3, lr_scales=scales, epsilon=1e-8, undecayed=[names[2]]
    )
    mine = steps(optimizer, variables, gradients)

    theirs = [torch.nn.Parameter(torch.from_numpy(value.copy())) for value in values]
    groups = [
        {"params": [theirs[0]], "lr": 0.05, "weight_decay": 0.3},
        {"params": [theirs[1]], "lr": 0.025, "weight_decay": 0.0},
        {"params": [theirs[2]], "lr": 0.1, "weight_decay": 0.0},
    ]
    peer = torch.optim.AdamW(groups, eps=1e-8)
    for gradient in gradients:
        for parameter, value in zip(theirs, gradient, strict=True):
            parameter.grad = torch.from_numpy(value)
        peer.step()
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=2e-4, atol=1e-6)


def test_optimizers_of_before_go_on_as_they_began():
    """Their configuration says nothing of what is not decayed: a class token was."""
    config = LayerDecayAdamW(0.1, undecayed=["class_token"]).get_config()
    assert LayerDecayAdamW.from_config(config).undecayed == ("class_token",)
    del config["undecayed"]
    assert LayerDecayAdamW.from_config(config).undecayed == UNDECAYED_BEFORE
    optimizer = LayerDecayAdamW(0.1, weight_decay=0.5, undecayed=["class_token"])
    variables = [keras.Variable(np.ones((1, 2), "float32"), name="class_token")]
    zero = [np.zeros((1, 2), "float32")]
    np.testing.assert_array_equal(steps(optimizer, variables, [zero])[0], 1.0)
    optimizer.undecayed = UNDECAYED_BEFORE
    optimizer.apply([keras.ops.convert_to_tensor(zero[0])], variables)
    np.testing.assert_allclose(to_numpy(variables[0]), 0.95, rtol=1e-6)


def test_scales_fall_towards_the_input():
    backbone = tiny_backbone()
    scales = layer_decay_scales(backbone, 0.5)
    assert scales["norm/gamma"] == 1.0
    assert scales["stage_1/block_1/norm1/gamma"] == 0.5
    assert scales["stage_0/block_0/norm1/gamma"] == 0.5**4
    assert scales["patch_embedding/norm/gamma"] == 0.5**5
    assert scales.keys() == {variable.path for variable in backbone.trainable_variables}


def test_config_round_trip_and_accumulation():
    optimizer = LayerDecayAdamW(0.1, weight_decay=0.2, lr_scales={"variable": 0.5})
    again = LayerDecayAdamW.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    variable = keras.Variable(np.ones((2, 2), "float32"), name="kernel")
    accumulating = LayerDecayAdamW(0.1, gradient_accumulation_steps=2)
    gradient = [np.ones((2, 2), "float32")]
    after_one = steps(accumulating, [variable], [gradient])[0]
    np.testing.assert_array_equal(after_one, 1.0)
    accumulating.apply([keras.ops.convert_to_tensor(gradient[0])], [variable])
    # Adam's first step is the learning rate, and 0.05 * 0.1 of the weight decays.
    np.testing.assert_allclose(to_numpy(variable), 1 - 0.1 - 0.005, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="of TensorFlow's graphs")
def test_a_step_has_one_condition_however_many_variables():
    """Under XLA each would stop the host until the device has come to it."""
    import tensorflow as tf

    model = tiny_eesmm(tiny_backbone(depths=(1, 1)))
    model.compile(LayerDecayAdamW(1e-3))
    step = tf.function(lambda images: model.train_step((images,)))
    graph = step.get_concrete_function(tf.TensorSpec((4, 32, 32, 3), "uint8")).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    assert sum(node.op in ("If", "StatelessIf", "Case", "StatelessCase") for node in nodes) == 1


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="how JAX compiles it")
def test_what_variables_read_in_common_tells_apart_what_is_not_finite():
    import jax

    from eesmm_keras.few_kernels import Flags, sum_of_squares

    arrays = [np.full(shape, 2, "float32") for shape in ((), (3,), (2, 5), (200, 128))]
    assert float(jax.jit(sum_of_squares)(arrays)) == 4 * (1 + 3 + 10 + 200 * 128)
    for array in arrays[1:]:
        bad = [a.copy() for a in arrays]
        bad[[a is array for a in arrays].index(True)][..., -1] = np.nan
        assert not np.isfinite(jax.jit(sum_of_squares)(bad))
    for good in (True, False):
        flags = jax.jit(lambda flag: [Flags(flag, arrays).of(array) for array in arrays])(good)
        assert [flag.shape for flag in flags] == [(), (3,), (5,), (128,)]
        assert all(bool((flag == good).all()) for flag in flags)

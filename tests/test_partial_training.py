"""Frozen stages do not move; LoRA trains little and leaves no trace; both go on where they stopped."""

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from conftest import random_images, tiny_backbone, to_numpy
from eesmm_keras import ImageClassifier, LayerDecayAdamW, ViTBackbone, load_model
from eesmm_keras.cli import main as cli
from eesmm_keras.errors import Interrupted, UserError
from eesmm_keras.partial_training import add_lora, freeze_stages, parameters, plain_copy
from small_runs import stopped_after

SMALL = {"depths": (1, 1), "embed_dim": 8, "num_heads": (1, 2), "window_size": 4}
SPEC = "swin_mini_32:image_shape=[16, 16, 3]:depths=[1, 1]:num_heads=[1, 1]:embed_dim=8"
once = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="once is enough")


def values(model):
    return {v.path: to_numpy(v).copy() for v in model.weights}


def trained(model, steps=3):
    """Weights before and after a few steps with strong weight decay."""
    optimizer = LayerDecayAdamW(0.01, weight_decay=0.5)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before, images = values(model), random_images(8)
    model.fit(images, np.arange(8) % 3, batch_size=8, epochs=steps, verbose=0)
    return before, values(model)


def moved(model):
    before, after = trained(model)
    return {path for path in before if (before[path] != after[path]).any()}


@pytest.mark.parametrize("kind", ["swin", "vit"])
def test_frozen_stages_do_not_move_and_all_others_do(kind):
    if kind == "swin":
        backbone = tiny_backbone(**SMALL)
        frozen = ("patch_embedding", "stage_0", "merging_0")
    else:
        backbone = ViTBackbone((32, 32, 3), 8, dim=16, depth=2, num_heads=2)
        frozen = ("patch_embedding", "class_token", "block_0")
    freeze_stages(backbone, 1)
    model = ImageClassifier(backbone, 3)
    expected = {v.path for v in model.weights if not any(part in v.path for part in frozen)}
    assert len(expected) < len(model.weights)
    assert moved(model) == expected


def test_with_all_stages_frozen_the_head_alone_learns():
    backbone = tiny_backbone(**SMALL)
    freeze_stages(backbone, 2)
    assert backbone.trainable_variables == []
    model = ImageClassifier(backbone, 3)
    assert parameters(model)[0] == 16 * 3 + 3
    with pytest.raises(UserError, match="from 0 to 2, the number of stages"):
        freeze_stages(backbone, 3)


def test_lora_trains_its_pairs_and_the_head_and_is_merged_into_an_equal_model(tmp_path):
    backbone = tiny_backbone(**SMALL)
    plain = values(backbone)
    freeze_stages(backbone, 1)
    # qkv, projection and the two layers of the MLP of the stage that is left.
    assert add_lora(backbone, 2) == 4
    model = ImageClassifier(backbone, 3)
    paths = moved(model)
    assert {path.rpartition("/")[2] for path in paths} == {
        "lora_kernel_a", "lora_kernel_b", "kernel", "bias",
    }  # fmt: skip
    assert not paths & plain.keys()
    assert parameters(model)[0] == 2 * (16 + 48 + 16 + 16 + 16 + 64 + 64 + 16) + 51

    images = random_images(3)
    expected = to_numpy(model(images))
    copy = plain_copy(model)
    assert [v.path for v in copy.weights] == [p for p in values(model) if "lora" not in p]
    assert len(copy.trainable_variables) == len(copy.weights)
    model.save(tmp_path / "model.keras")
    for other in (copy, load_model(tmp_path / "model.keras", compile=False)):
        np.testing.assert_allclose(to_numpy(other(images)), expected, atol=1e-5)
    features = to_numpy(backbone(images))
    np.testing.assert_allclose(to_numpy(backbone.resized(32, 32)(images)), features, atol=1e-4)


def test_a_layer_gets_no_update_that_is_larger_than_itself():
    # Neither 12 -> 8 of the patch embedding nor 8 -> 8 of the first projection.
    backbone = tiny_backbone(**SMALL)
    assert add_lora(backbone, 5) == 3 + 1 + 4
    backbone = tiny_backbone(**SMALL)
    with pytest.raises(UserError, match="wide enough for a rank of 64"):
        add_lora(backbone, 64)


def eesmm(*args):
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


def tune(out, *args):
    return eesmm(
        "finetune", "--data", "digits", "--weights", "none", "--backbone", SPEC, "--out", out,
        "--epochs", 2, "--batch-size", 8, "--steps-per-epoch", 3, "--set", "val_limit=20",
        "--lora", 2, "--freeze", 1, "--set", "ema_momentum=0.9", "--set", "layer_decay=0.8",
        "--set", "learning_rate=0.1", *args,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("lora") / "run"
    text = tune(path)
    # 512 of the pairs, see above, and a head of ten classes.
    assert (
        "Trained: 682 of 5,660 parameters (the first 1 of 2 stages are frozen, LoRA of rank 2 "
        in text
    )
    return path


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="compiles; see test_resume")
def test_a_stopped_run_with_lora_ends_like_an_undisturbed_one(run, tmp_path):
    with stopped_after(2), pytest.raises(Interrupted):
        tune(tmp_path / "stopped")
    assert "Going on from step 2 of 6" in tune(tmp_path / "stopped")
    models = [load_model(path / "model.keras") for path in (run, tmp_path / "stopped")]
    for a, b in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


@once
def test_the_model_of_a_run_and_its_export_have_no_trace_of_lora(run, tmp_path):
    import onnx

    model = load_model(run / "model.keras")
    assert not [v.path for v in model.weights if "lora" in v.path]
    assert all(v.trainable for v in model.weights)
    out = tmp_path / "model.onnx"
    eesmm("export", "--weights", run, "--format", "onnx", "--out", out)
    numbers = sum(np.prod(x.dims) for x in onnx.load(out).graph.initializer)
    # The kernels of LoRA alone would be 512 more; constants of shapes and windows are not weights.
    assert numbers < parameters(model)[1] + 5000
    assert b"lora" not in out.read_bytes()


@once
def test_a_model_in_memory_with_lora_is_exported_as_it_computes(tmp_path):
    import onnxruntime

    from eesmm_keras.exports import export_model

    backbone = tiny_backbone(**SMALL)
    add_lora(backbone, 2)
    model = ImageClassifier(backbone, 3)
    trained(model)
    out, images = tmp_path / "model.onnx", random_images(5)
    export_model(model, "onnx", out, sample_images=images)
    (found,) = onnxruntime.InferenceSession(out).run(None, {"images": images})
    np.testing.assert_allclose(found, to_numpy(model(images)), atol=1e-3)
    assert b"lora" not in out.read_bytes()


@once
def test_a_run_tells_what_is_too_much(tmp_path):
    with pytest.raises(UserError, match="freeze must be from 0 to 2"):
        tune(tmp_path / "run", "--freeze", 3)
    with pytest.raises(UserError, match="rank of 500"):
        tune(tmp_path / "run", "--lora", 500)
    assert not (tmp_path / "run").exists()

"""`--init-from` and `--weights` with public weights: what runs keep of them, and what is exported."""

from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from conftest import random_images, to_numpy
from eesmm_keras import ImageClassifier, SimMIM, load_model, load_weights_from
from eesmm_keras.converters.importing import build_encoder
from eesmm_keras.converters.recognition import open_weights
from eesmm_keras.errors import UserError
from eesmm_keras.training.evaluating import evaluate
from eesmm_keras.training.finetuning import finetune
from eesmm_keras.training.pretraining import pretrain
from eesmm_keras.training.settings import resolve
from eesmm_keras.training.weights import as_keras_file, load_backbone, load_checked

if keras.backend.backend() != "tensorflow":
    pytest.skip(
        "one backend is enough: runs on the others are tested elsewhere", allow_module_level=True
    )

FOREIGN = Path(__file__).parent / "foreign"
# Nothing moves: what a run ends with is what it began with.
STILL = {
    "data": "digits", "limit": 20, "epochs": 1, "steps_per_epoch": 1, "batch_size": 20,
    "learning_rate": 0.0, "min_learning_rate": 0.0, "warmup_learning_rate": 0.0,
}  # fmt: skip


def test_a_pretraining_goes_on_from_public_weights_with_their_head(tmp_path):
    where = str(FOREIGN / "simmim_official.safetensors")
    options = {**STILL, "method": "simmim", "init_from": where, "out": str(tmp_path / "run")}
    said = []
    run = pretrain(resolve("pretrain", options=options), said.append)
    screen = "\n".join(said)
    assert "Weights of" in screen
    assert "licence: unknown (MIT" in screen
    model, peer = load_model(run.model_path), open_weights(where)
    encoder, _ = build_encoder(peer)
    for mine, theirs in zip(model.backbone.weights, encoder.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(mine), to_numpy(theirs))
    np.testing.assert_array_equal(to_numpy(model.mask_token), peer.array("mask_token").reshape(-1))
    facts = yaml.safe_load((run.path / "config.yaml").read_text())["derived"]["weights"]
    assert facts["layout"] == "SimMIM of the official code"
    assert facts["licence"].startswith("unknown (MIT")
    assert facts["coverage"] == 1
    table = (run.path / "weights.md").read_text()
    assert "| mask_token | 8 | matched | encoder.mask_token |" in table


def test_a_finetuning_starts_from_public_weights_at_another_size(tmp_path):
    options = {**STILL, "weights": str(FOREIGN / "vit_timm.safetensors"), "image_size": 32,
               "out": str(tmp_path / "run")}  # fmt: skip
    run, _ = finetune(resolve("finetune", options=options), lambda line: None)
    model = load_model(run.model_path)
    assert model.backbone.image_shape == (32, 32, 3)
    assert "grid 3x3 to 4x4, bicubic" in (run.path / "weights.md").read_text()
    # And our own run is a source like others, of other sizes too.
    again = load_backbone(run.path).resized(24, 24)
    report = load_weights_from(again, str(run.path))
    assert {row.state for row in report.rows} == {"matched", "interpolated"}


def test_too_little_is_refused_before_the_folder_is_made(tmp_path):
    options = {**STILL, "weights": str(FOREIGN / "mae_official.safetensors"),
               "backbone": "swin_mini_32", "out": str(tmp_path / "run")}  # fmt: skip
    with pytest.raises(UserError, match="for a ViTBackbone; this encoder is a SwinBackbone"):
        finetune(resolve("finetune", options=options), lambda line: None)
    options = {**options, "backbone": None, "min_coverage": 2.0}
    with pytest.raises(UserError, match="min_coverage must be a number from 0 to 1"):
        finetune(resolve("finetune", options=options), lambda line: None)
    options = {**options, "min_coverage": None, "adapt_tables": "linear"}
    with pytest.raises(UserError, match="adapt_tables"):
        finetune(resolve("finetune", options=options), lambda line: None)
    assert not (tmp_path / "run").exists()


def test_a_classifier_is_evaluated_and_exported_as_it_is():
    where = str(FOREIGN / "swin_official.safetensors")
    said = []
    with as_keras_file(where, said.append) as path:
        model = load_model(path)
    assert isinstance(model, ImageClassifier)
    made = np.load(FOREIGN / "swin_official.npz")
    np.testing.assert_allclose(to_numpy(model(made["images"])), made["logits"], atol=1e-4)
    assert "100.0% of the encoder's numbers" in said[0]
    assert type(load_checked(str(FOREIGN / "mae_official.safetensors"))).__name__ == "ViTBackbone"


def test_an_encoder_of_images_that_are_not_square_is_fed_such_images():
    findings, _ = evaluate("digits", str(FOREIGN / "keras_hub_vit"), mode="knn")
    assert findings.scores["kNN accuracy (k=20)"] > 0.2


def test_our_own_decoder_comes_along():
    encoder = load_backbone(str(FOREIGN / "simmim_official.safetensors"))
    first, second = SimMIM(encoder, seed=0), SimMIM(encoder.resized(48, 48), seed=1)
    from eesmm_keras.converters.importing import import_weights
    from eesmm_keras.converters.own_model import OwnWeights

    report = import_weights(second, OwnWeights(first, "a model"))
    assert not report.left_over
    np.testing.assert_array_equal(to_numpy(second.mask_token), to_numpy(first.mask_token))
    assert second(random_images(2, size=48))["prediction"].shape[0] == 2

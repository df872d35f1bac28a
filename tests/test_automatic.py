"""What pre-training chooses where only the data are named: sane, told, and kept when a run goes on."""

import numpy as np
import pytest
import yaml

from conftest import random_images
from eesmm_keras import methods
from eesmm_keras.backbones import from_preset
from eesmm_keras.data.image_source import ImageSource
from eesmm_keras.errors import UserError
from eesmm_keras.training import automatic
from eesmm_keras.training.settings import method_arguments, resolve

MINI = "swin_mini_32:kernel_initializer=glorot_uniform"


def source(count, side):
    picture = np.zeros((side, side + 8, 3), np.uint8)
    return ImageSource("made", [picture] * count)


def chosen(count, side, accelerated=False, method=None, **said):
    settings = resolve("pretrain", options=said)
    return automatic.choose(source(count, side), settings, accelerated, method)


@pytest.mark.parametrize(
    ("side", "accelerated", "encoder", "size"),
    [
        (28, False, MINI, 32),
        (64, False, "swin_proxy_64", 64),
        (600, False, "swin_proxy_64", 64),
        (600, True, "swin_tiny_224", 224),
        (64, True, "swin_proxy_64", 64),
    ],
)
def test_the_encoder_fits_images_and_machine(side, accelerated, encoder, size):
    settings, why = chosen(1000, side, accelerated)
    assert settings["backbone"] == encoder
    assert settings["image_size"] == size
    assert why.startswith(f"1000 images, {side} pixels")
    # It is what a run can be made of.
    resolve("pretrain", options=settings)


@pytest.mark.parametrize("count", [1, 1000, 50_000, 10**7])
def test_epochs_use_the_budget_within_bounds(count):
    epochs = chosen(count, 64)[0]["epochs"]
    assert 3 <= epochs <= 800
    if count in (1000, 50_000):
        images = epochs * count
        cost = images * automatic.MACS["contrastive", "swin_proxy_64"] / 5e12
        assert 0.9 < cost < 1.1


@pytest.mark.parametrize(("method", "encoder"), sorted(automatic.MACS))
def test_costs_are_those_of_the_models(method, encoder):
    side = {MINI: 28, "swin_proxy_64": 64}.get(encoder, 300)
    settings = chosen(1000, side, True, method)[0]
    assert settings["backbone"] == encoder
    known = method_arguments(method)
    arguments = {key: value for key, value in settings.items() if key in known}
    model = methods.get(method)(from_preset(encoder), seed=0, mask_bank_size=1, **arguments)
    assert model.macs() == pytest.approx(automatic.MACS[method, encoder], rel=0.02)


def test_photographs_get_the_method_that_learns_most_unless_one_is_said():
    assert chosen(100, 64)[0]["method"] == "contrastive"
    assert chosen(100, 64)[0]["mirror"]
    assert not chosen(100, 64, flip=False)[0]["mirror"]
    assert "method" not in chosen(100, 64, method="eesmm")[0]
    # What was tried are photographs: see docs/evidence.md.
    assert "method" not in chosen(100, 28)[0]


def test_a_method_gets_only_arguments_that_it_has():
    settings = chosen(100, 28, method="simmim")[0]
    assert "decoder_dim" not in settings
    resolve("pretrain", options={**settings, "method": "simmim"})


@pytest.fixture
def photos(tmp_path):
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(random_images(8)):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def resolved(photos, out, *assignments, recipe=None, **options):
    said = []
    options = {"data": str(photos), "out": str(out), **options}
    settings = automatic.resolve_automatically(recipe, assignments, options, said.append)
    return settings, said


def test_what_the_user_says_stands(photos, tmp_path):
    settings, said = resolved(photos, tmp_path / "run", "mask_ratio=0.6", epochs=3)
    assert (settings.backbone, settings.epochs) == (MINI, 3)
    assert settings.method_args["mask_ratio"] == 0.6
    assert settings.learning_rate == 8e-3
    assert settings.automatic
    # A tenth of the epochs, whoever said them.
    assert settings.warmup_epochs == 1.0
    assert resolved(photos, tmp_path / "b", epochs=40)[0].warmup_epochs == 4.0
    assert resolved(photos, tmp_path / "c", "warmup_epochs=7", epochs=40)[0].warmup_epochs == 7.0
    (line,) = said
    assert f"eesmm on {MINI}, 32 pixels" in line
    assert "3 epochs" in line


@pytest.mark.parametrize("said", ["method=eesmm", "num_mixed=3"])
def test_a_method_that_is_said_in_any_way_stands(tmp_path, said):
    from PIL import Image

    for number, image in enumerate(random_images(4, size=64)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    settings, (line,) = resolved(tmp_path, tmp_path / "run", said)
    assert settings.method == "eesmm"
    assert settings.learning_rate == 8e-3
    assert "eesmm on swin_proxy_64" in line
    assert resolved(tmp_path, tmp_path / "run")[0].method == "contrastive"


@pytest.mark.parametrize("said", [{"backbone": "swin_mini_64"}, {"recipe": "digits_pretrain"}])
def test_an_encoder_or_a_recipe_leaves_the_defaults(photos, tmp_path, said):
    settings, lines = resolved(photos, tmp_path / "run", **said)
    assert not lines
    assert not settings.automatic
    assert settings == resolve("pretrain", said.pop("recipe", None), options={
        "data": str(photos), "out": str(tmp_path / "run"), **said
    })  # fmt: skip


def test_a_run_keeps_what_was_chosen_for_it(photos, tmp_path):
    out = tmp_path / "run"
    first, _ = resolved(photos, out)
    out.mkdir()
    content = {
        "task": "pretrain", "backend": "tensorflow", "settings": {**first.model_dump(), "epochs": 77},
        "derived": {"batch_size": 8, "steps_per_epoch": 1},
    }  # fmt: skip
    content["settings"] = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in content["settings"].items()
    }
    (out / "config.yaml").write_text(yaml.safe_dump(content))
    again, said = resolved(photos, out)
    assert again.epochs == 77
    assert not said
    # A run of an earlier release was begun with the defaults of that time.
    del content["settings"]["automatic"]
    (out / "config.yaml").write_text(yaml.safe_dump(content))
    again, said = resolved(photos, out)
    assert (again.automatic, again.backbone, again.epochs) == (False, None, 100)
    assert not said


def test_bad_data_are_told_of_as_ever(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        resolved(tmp_path / "nowhere", tmp_path / "run")

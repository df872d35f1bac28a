"""Importing: recognition, wrappers, adaptation, and that nothing is half done."""

import json
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from weights_files import FOREIGN, SHAPE, SWIN, VIT, arrays, error_of, weights_of, write

from conftest import random_images, to_numpy
from eesmm_keras import MAE, SimMIM, SwinBackbone, ViTBackbone
from eesmm_keras.backbones import from_preset
from eesmm_keras.converters import CONVERTERS
from eesmm_keras.converters.converter import Converter
from eesmm_keras.converters.importing import build_encoder, import_weights
from eesmm_keras.converters.recognition import open_weights
from eesmm_keras.converters.source import is_foreign, open_source

if keras.backend.backend() != "tensorflow":
    pytest.skip("one backend is enough: what is compared is NumPy's", allow_module_level=True)


@pytest.fixture(scope="module")
def into_swin():
    """Function: imports a place into one and the same encoder: `(its weights, Report)`."""
    encoder = SwinBackbone(**SHAPE)

    def imported(where):
        for variable in encoder.weights:
            variable.assign(np.zeros(variable.shape))
        report = import_weights(encoder, str(where))
        return weights_of(encoder), report

    return imported


@pytest.mark.parametrize("name", CONVERTERS.names())
def test_every_converter_says_what_it_is_and_what_it_was_compared_with(name):
    converter = CONVERTERS.get(name)()
    assert isinstance(converter, Converter)
    for text in (converter.title, converter.anchor, converter.note, converter.checked):
        assert isinstance(text, str)
        assert text


def test_every_converter_names_all_variables_of_its_encoder():
    encoders = {
        "swin": SwinBackbone(**SHAPE),
        "twins": from_preset("twins_mini_32"),
        "convit": from_preset("convit_mini_32"),
        "vit": ViTBackbone((32, 32, 3), dim=8, depth=1, num_heads=1),
    }
    for name in CONVERTERS.names():
        if not (converter := CONVERTERS.get(name)()).names:
            continue
        encoder = encoders[next((kind for kind in encoders if kind in converter.encoder), "vit")]
        unnamed = [v.path for v in encoder.weights if not converter.theirs(v.path)]
        assert set(unnamed) <= {"class_token/class_token", "positions/table"}, name


@pytest.mark.parametrize(
    "wrap",
    [
        lambda k: f"module.{k}",
        lambda k: f"model.encoder.{k}",
        lambda k: k if k.startswith("head") else f"backbone.{k}",
    ],
)
def test_wrappers_are_stripped(wrap, into_swin, tmp_path):
    where = write(tmp_path / "w.safetensors", {wrap(k): v for k, v in arrays(SWIN).items()})
    wrapped, report = into_swin(where)
    assert report.coverage == 1
    assert_same(wrapped, into_swin(SWIN)[0])


def assert_same(mine, theirs):
    for first, second in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(first, second)


def test_pickles_of_training_scripts_are_read_without_running_them(
    into_swin, tmp_path, monkeypatch
):
    torch = pytest.importorskip("torch")
    import argparse

    state = {f"module.{k}": torch.from_numpy(v) for k, v in arrays(SWIN).items()}
    # The settings of Swin and SimMIM, whose package is not installed here when the file is read.
    yacs, config = types.ModuleType("yacs"), types.ModuleType("yacs.config")
    config.CfgNode = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    monkeypatch.setitem(sys.modules, "yacs", yacs)
    monkeypatch.setitem(sys.modules, "yacs.config", config)
    settings = config.CfgNode(TYPE="swin", INNER=config.CfgNode(a=[1, 2]))
    settings.__dict__["_frozen"] = True
    content = {
        "epoch": 3, "args": argparse.Namespace(lr=0.1, out="x"), "config": settings,
        "max_accuracy": np.float64(3.0), "path": Path("a"), "model": state,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []},
    }  # fmt: skip
    torch.save(content, tmp_path / "a.pth")
    monkeypatch.undo()
    found, report = into_swin(tmp_path / "a.pth")
    assert report.coverage == 1
    assert report.left_over == ["module.head.bias", "module.head.weight"]
    assert_same(found, into_swin(SWIN)[0])


def test_npz_and_shards(into_swin, tmp_path):
    values = arrays(SWIN)
    np.savez(tmp_path / "w.npz", **values)
    assert into_swin(tmp_path / "w.npz")[1].coverage == 1
    folder, names = tmp_path / "sharded", sorted(values)
    folder.mkdir()
    files = {"a.safetensors": names[:20], "b.safetensors": names[20:]}
    for file, keys in files.items():
        write(folder / file, {key: values[key] for key in keys})
    index = {"weight_map": {key: file for file, keys in files.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert is_foreign(folder)
    assert into_swin(folder)[1].coverage == 1
    (folder / "b.safetensors").unlink()
    assert "b.safetensors is missing" in error_of(open_weights, str(folder))
    index["weight_map"][names[-1]] = "../w.npz"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "leads out of its folder" in error_of(open_weights, str(folder))


def test_licence_mean_and_deviation_are_the_sources_own(into_swin, tmp_path):
    write(tmp_path / "model.safetensors", arrays(SWIN))
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\ntags: [a]\n---\n# A model\n")
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]})
    )
    encoder, report = build_encoder(open_weights(str(tmp_path)))
    assert report.licence_line == report.facts()["licence"] == "apache-2.0"
    assert (encoder.mean, encoder.std) == ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    assert into_swin(SWIN)[1].licence_line.startswith("unknown (MIT")


def test_an_encoder_with_another_normalisation_gives_the_same_features(tmp_path):
    encoder, _ = build_encoder(open_weights(str(SWIN)))
    other = SwinBackbone(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), **SHAPE)
    report = import_weights(other, str(SWIN))
    assert sum(row.state == "converted" for row in report.rows) == 2
    images = random_images(2)
    np.testing.assert_allclose(to_numpy(other(images)), to_numpy(encoder(images)), atol=1e-4)


def test_another_size_another_window_other_channels():
    encoder, report = build_encoder(
        open_weights(str(SWIN)), image_shape=(40, 48, 5), window_size=5, patch_size=4,
        mean=(0.5,) * 5, std=(0.2,) * 5,
    )  # fmt: skip
    states = {row.ours: row.state for row in report.rows}
    assert states["patch_embedding/projection/kernel"] == "converted"
    assert states["stage_0/block_0/attention/relative_position_table"] == "interpolated"
    assert report.coverage == 1
    assert encoder(np.zeros((1, 40, 48, 5), "uint8")).shape == (1, 5, 6, 16)
    vit, report = build_encoder(open_weights(str(VIT)), image_shape=(32, 40, 3))
    states = {row.ours: row for row in report.rows}
    assert states["positions/table"].note == "grid 3x3 to 4x5, bicubic"
    assert vit(np.zeros((1, 32, 40, 3), "uint8")).shape == (1, 4, 5, 16)


def test_tables_the_geometric_way_differ():
    encoder = SwinBackbone(**{**SHAPE, "image_shape": (48, 48, 3), "window_size": 6})
    ways = []
    for tables in ("bicubic", "geometric"):
        import_weights(encoder, str(SWIN), tables=tables)
        ways.append(to_numpy(encoder.stages[0].blocks[0].attention.relative_position_table))
    assert np.abs(ways[0] - ways[1]).max() > 0.01


def test_resized_encoders():
    swin, _ = build_encoder(open_weights(str(SWIN)))
    same = swin.resized(32, 32)
    images = random_images(2)
    np.testing.assert_array_equal(to_numpy(same(images)), to_numpy(swin(images)))
    # The windows are those of before: a larger map begins with the same ones, but for the shifted.
    assert swin.resized(48, 64)(np.zeros((1, 48, 64, 3), "uint8")).shape == (1, 12, 16, 16)
    with pytest.raises(ValueError, match="multiple of 4"):
        swin.resized(33, 32)
    vit, _ = build_encoder(open_weights(str(VIT)))
    assert vit.resized(16, 40)(np.zeros((1, 16, 40, 3), "uint8")).shape == (1, 2, 5, 16)


def test_what_does_not_fit_changes_nothing(tmp_path):
    values = arrays(SWIN)
    encoder = SwinBackbone(**SHAPE)
    before = weights_of(encoder)
    half = {k: v for k, v in values.items() if "fc2" not in k}
    text = error_of(import_weights, encoder, write(tmp_path / "half.safetensors", half))
    assert "covers" in text
    assert "stage_0/block_0/mlp/contract/kernel" in text
    broken = {**values, "norm.weight": values["norm.weight"] * np.nan}
    text = error_of(import_weights, encoder, write(tmp_path / "nan.safetensors", broken))
    assert "not finite" in text
    for after, earlier in zip(weights_of(encoder), before, strict=True):
        np.testing.assert_array_equal(after, earlier)
    report = import_weights(encoder, str(tmp_path / "half.safetensors"), min_coverage=0.5)
    assert {row.note for row in report.rows if row.state == "missing"} == {"not in the source"}
    assert "missing          6 arrays" in report.summary()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depths": (2, 2)}, "depths is [2, 1] there and [2, 2] here"),
        ({"embed_dim": 16, "num_heads": (2, 4)}, "embed_dim is 8 there and 16 here"),
        ({"num_heads": (2, 2)}, "num_heads is [1, 2] there and [2, 2] here"),
        ({"positions": "sincos"}, "no absolute positions, and this encoder has sincos"),
        ({"shift": False}, "shift is True there and False here"),
    ],
)
def test_other_architectures(changes, message):
    assert message in error_of(import_weights, SwinBackbone(**{**SHAPE, **changes}), str(SWIN))


def test_a_vit_is_no_swin():
    assert "for a ViTBackbone" in error_of(import_weights, SwinBackbone(**SHAPE), str(VIT))
    assert "not for a SwinBackbone" in error_of(SwinBackbone.from_preset, str(VIT))
    assert "does not exist" in error_of(SwinBackbone.from_preset, "nothing.safetensors")
    with pytest.raises(ValueError, match="Did you mean 'swin_tiny'"):
        SwinBackbone.from_preset("swin_tinny")


def test_half_a_decoder_is_not_taken(tmp_path):
    where = FOREIGN / "mae_official.safetensors"
    options = {"decoder_dim": 16, "decoder_num_heads": 2, "seed": 0}
    encoder, _ = build_encoder(open_weights(str(where)))
    model = MAE(encoder, decoder_depth=2, **options)
    report = import_weights(model, str(where))
    decoder = [row for row in report.rows if not row.encoder]
    assert {row.state for row in decoder} == {"missing"}
    assert {row.note for row in decoder} == {
        "not in the source",
        "the rest of this part does not fit",
    }
    rest = import_weights(SimMIM(encoder, seed=0), str(where)).rows
    assert {row.note for row in rest if not row.encoder} == {"not in the source"}


def test_the_hub_without_a_network_tells_how_to_fetch_by_hand(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def offline(**kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    text = error_of(open_source, "hf://microsoft/swin-tiny-patch4-window7-224")
    assert "no route" in text
    assert "https://huggingface.co/microsoft/swin-tiny-patch4-window7-224/tree/main" in text
    assert "Expected hf://OWNER/NAME" in error_of(open_source, "hf://../../etc")


def test_the_hub_gives_a_folder(into_swin, monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    write(tmp_path / "model.safetensors", arrays(SWIN))
    asked = []

    def download(**kwargs):
        asked.append(kwargs)
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert into_swin("hf://a/b@v1")[1].coverage == 1
    assert (asked[0]["repo_id"], asked[0]["revision"]) == ("a/b", "v1")


PLUGIN = """
from eesmm_keras.converters.swin_layout import OFFICIAL_NAMES, SwinLayout


class Renamed(SwinLayout):
    title, anchor, rank = "Swin of somebody", "stem.proj.weight", 5
    names = {
        **OFFICIAL_NAMES,
        "patch_embedding/projection": "stem.proj",
        "patch_embedding/norm": "stem.norm",
    }

    def matches(self, names, outer):
        return "stem.norm.weight" in names
"""


def test_a_layout_of_others_is_one_file(into_swin, monkeypatch, tmp_path):
    values = {k.replace("patch_embed", "stem"): v for k, v in arrays(SWIN).items()}
    where = write(tmp_path / "w.safetensors", values)
    assert "of no known layout" in error_of(open_weights, where)
    (tmp_path / "converters").mkdir()
    (tmp_path / "converters" / "renamed.py").write_text(PLUGIN)
    monkeypatch.setenv("EESMM_PLUGINS", str(tmp_path))
    found, report = into_swin(where)
    assert report.layout == "Swin of somebody"
    assert_same(found, into_swin(SWIN)[0])

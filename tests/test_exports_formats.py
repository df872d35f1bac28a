"""Every format keeps its contract, and a format of one's own is one file."""

import json
import os
import textwrap

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from eesmm_keras import ImageClassifier, SwinBackbone
from eesmm_keras.cli import main as cli
from eesmm_keras.errors import UserError
from eesmm_keras.exports import ExportError, export_model
from eesmm_keras.exports.destination import check_destination
from eesmm_keras.exports.formats import FORMATS
from eesmm_keras.exports.worker import export_in_child
from examples import example

FROZEN = example("formats/frozen.py")
# Scales the weights that it writes.
WRONG = FROZEN.replace(
    "        frozen = convert",
    "        for variable in graph.variables:\n"
    "            variable.assign(variable * 1.5)\n"
    "        frozen = convert",
)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    keras.utils.set_random_seed(3)
    backbone = SwinBackbone(
        image_shape=(16, 16, 3), patch_size=2, window_size=4, embed_dim=8, depths=(1, 1),
        num_heads=(1, 2),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("model") / "model.keras"
    ImageClassifier(backbone, 2, ("cat", "dog")).save(path)
    return path


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Writes one file as a format of that name."""
    folder = tmp_path / "plugins" / "formats"
    folder.mkdir(parents=True)
    monkeypatch.setenv("EESMM_PLUGINS", str(folder.parent))
    return lambda name, text: (folder / f"{name}.py").write_text(textwrap.dedent(text))


def export(*args):
    result = CliRunner().invoke(cli.group, ["export", *map(str, args)])
    if result.exception:
        raise result.exception
    return result.output


@pytest.mark.parametrize("name", FORMATS.names())
def test_every_format_keeps_its_contract(name, model_file, tmp_path):
    kind = FORMATS.get(name)()
    for module in kind.needs:
        pytest.importorskip(module)
    out = tmp_path / f"model{kind.suffix}"
    photos = tmp_path / f"photos{kind.suffix}"
    photos.mkdir()
    (photos / "one.jpg").touch()
    report = export_model(model_file, name, out)
    assert (report.format, report.description) == (name, kind.description)
    assert kind.owns(out)
    parity = out / "parity.json" if out.is_dir() else tmp_path / "parity.json"
    assert json.loads(parity.read_text())[out.name]["format"] == name
    check_destination(out, kind, overwrite=True)
    with pytest.raises(ExportError, match="not an earlier export"):
        check_destination(photos, kind, overwrite=True)


def test_a_format_of_ones_own_is_written_run_and_proved_by_the_command(
    plugins, model_file, tmp_path
):
    plugins("frozen", FROZEN)
    out = tmp_path / "model.npz"
    text = export("--weights", model_file, "--format", "frozen", "--out", out)
    assert "(frozen graph, " in text
    assert "logits (batch, 2): differs from Keras by at most" in text
    with np.load(out) as file:
        assert json.loads(str(file["metadata"]))["class_names"] == ["cat", "dog"]
    assert "frozen" in CliRunner().invoke(cli.group, ["export", "--help"]).output
    with pytest.raises(ExportError, match=r"ends in `\.npz`"):
        export("--weights", model_file, "--format", "frozen", "--out", tmp_path / "model")


def test_a_format_that_writes_wrong_numbers_is_refused(plugins, model_file, tmp_path):
    plugins("wrong", WRONG)
    out = tmp_path / "model.npz"
    with pytest.raises(ExportError, match="differs from Keras: logits by"):
        export("--weights", model_file, "--format", "wrong", "--out", out)
    assert not out.exists()


@pytest.mark.parametrize("module", ["keras", "eesmm_keras.exports.errors"])
def test_a_format_that_leans_on_keras_or_this_package_does_not_run(
    plugins, model_file, tmp_path, module
):
    run = "def run(self, path, batches):"
    text = FROZEN.replace(run, f"{run}\n        import {module}")
    plugins("leaning", text)
    with pytest.raises(ExportError, match=rf"does not run by itself: (?s:.*){module}"):
        export("--weights", model_file, "--format", "leaning", "--out", tmp_path / "m.npz")


def test_a_format_of_ones_own_reaches_the_child_process(plugins, model_file, tmp_path):
    plugins("frozen", FROZEN)
    assert os.environ["EESMM_PLUGINS"]
    report = export_in_child(
        model_file, "frozen", tmp_path / "model.npz", sample_images=None, tolerance=1e-3
    )
    assert report.description == "frozen graph"


def test_an_unknown_format_is_told_with_those_that_there_are(plugins, model_file, tmp_path):
    plugins("frozen", FROZEN)
    with pytest.raises(
        UserError, match=r"Did you mean 'frozen'.*Known: frozen, .*onnx, .*savedmodel"
    ):
        export("--weights", model_file, "--format", "frozn", "--out", tmp_path / "m")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('Erfc')", "cannot write this model: KeyError: 'Erfc'"),
        ("pass", r"Lazy.write wrote nothing to m\.npz"),
    ],
)
def test_a_format_that_breaks_down_is_told_in_one_line(
    body, message, model_file, tmp_path, plugins
):
    plugins(
        "lazy",
        "from eesmm_keras.exports.format import Format\n"
        "class Lazy(Format):\n"
        f"    def write(self, graph, metadata, path):\n        {body}\n",
    )
    with pytest.raises(ExportError, match=message):
        export("--weights", model_file, "--format", "lazy", "--out", tmp_path / "m.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plugins"]

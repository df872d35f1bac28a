"""Model cards say what is known, and eesmm push takes them along."""

import http.server
import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image, ImageOps
from weights_files import FOREIGN

from conftest import tiny_backbone
from eesmm_keras import ImageClassifier
from eesmm_keras.cli import main as cli
from eesmm_keras.data.views import CENTRAL_CROP, CentralView
from eesmm_keras.errors import UserError
from eesmm_keras.exports import export_model
from eesmm_keras.exports.card import MARK, card_path, model_card, write_card
from eesmm_keras.exports.formats import FORMATS
from eesmm_keras.exports.provenance import Provenance, provenance_of
from eesmm_keras.exports.push import files_of, push_export
from eesmm_keras.exports.using import Steps

METRICS = "epoch,loss,val_accuracy,data_wait\n1,2.0,0.25,0.0\n2,1.5,0.7512,0.0\n"


def run_folder(folder, task, settings, derived=None, paths=None, metrics=METRICS):
    folder.mkdir(exist_ok=True)
    content = {
        "task": task, "backend": "tensorflow", "settings": settings, "paths": paths or {},
        "derived": {"batch_size": 64, "steps_per_epoch": 10, "image_size": 32, **(derived or {})},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    (folder / "metrics.csv").write_text(metrics)
    return folder


@pytest.fixture
def tuned(tmp_path):
    """A fine-tuning from a pre-training."""
    pretrained = run_folder(
        tmp_path / "p", "pretrain",
        {"data": "/home/anna/holiday/photos", "method": "simmim", "epochs": 8, "seed": 3,
         "init_from": None},
        paths={"data": "/home/anna/holiday/photos"}, metrics="epoch,loss\n8,0.5\n",
    )  # fmt: skip
    settings = {"data": "digits", "epochs": 2, "seed": 1, "weights": "../p"}
    return run_folder(tmp_path / "f", "finetune", settings, paths={"weights": str(pretrained)})


def test_a_run_is_followed_to_its_beginning(tuned):
    found = provenance_of(tuned)
    assert found.complete
    assert found.public is None
    first, second = found.trainings
    assert (first.task, first.method, first.data, first.scores) == (
        "pretrain",
        "simmim",
        "photos",
        {},
    )
    assert (second.epochs, second.steps, second.scores) == (2, 10, {"val_accuracy": 0.7512})
    assert provenance_of(tuned / "model.keras") == found


def test_public_weights_are_named_with_their_licence(tmp_path):
    facts = {"source": "hf://anna/swin@main", "licence": "mit", "layout": "Swin of timm"}
    run = run_folder(
        tmp_path / "run", "finetune", {"data": "digits", "weights": "hf://anna/swin@main"},
        {"weights": facts},
    )  # fmt: skip
    found = provenance_of(run)
    assert (found.base_model, found.licence, found.complete) == ("anna/swin", "mit", True)
    direct = provenance_of(FOREIGN / "swin_timm.safetensors")
    assert direct.base_model is None
    assert direct.licence.startswith("unknown (MIT")


@pytest.mark.parametrize("what", [None, "missing", "damaged"])
def test_what_cannot_be_read_is_unknown(what, tmp_path):
    if what == "damaged":
        (tmp_path / "damaged").mkdir()
        (tmp_path / "damaged" / "config.yaml").write_text("task: [")
    found = provenance_of(what and tmp_path / what)
    assert found == Provenance()


METADATA = {
    "architecture": "swin", "image_size": [32, 32], "class_names": ["a", "b"],
    "input": {"name": "images", "dtype": "uint8", "shape": ["batch", 32, 32, 3], "layout": "NHWC",
              "color_order": "RGB", "value_range": [0, 255]},
    "preprocessing": {"formula": "f", "mean": [0.5], "std": [0.25], "resize_in_graph": False,
                      "central_crop": CENTRAL_CROP},
    "outputs": {"logits": {"shape": ["batch", 2], "description": "scores"}},
}  # fmt: skip
PARITY = {"max_abs_diff": {"logits": {"batch_1": 1e-7}}, "limits": {"logits": 1e-3}}


def card(provenance, fmt="onnx"):
    text = model_card("m.onnx", FORMATS.get(fmt)(), METADATA, PARITY, provenance)
    front = yaml.safe_load(text.split("---\n")[1])
    return front, text


def test_a_card_says_what_is_known(tuned):
    front, text = card(provenance_of(tuned))
    assert front == {
        "license": "unknown", "library_name": "onnx", "pipeline_tag": "image-classification",
        "tags": ["eesmm-keras", "swin", "simmim"],
    }  # fmt: skip
    for words in (
        "It began with random weights", "Pre-training, `simmim`", "data: photos", "data: digits",
        "steps: 20 (2 epochs of 10), 64 images per step", "val_accuracy 0.7512", "2 classes: a, b",
        "| logits | 1 | 1.00e-07 | 1e-03 |", "uint8 (batch, 32, 32, 3), NHWC",
        "No public weights went into it",
    ):  # fmt: skip
        assert words in text
    assert "/home" not in text


def test_a_card_says_what_is_not_known():
    front, text = card(Provenance())
    assert front["license"] == "unknown"
    assert "It is not known how it was trained" in text
    assert "it is not known whether public weights went into it" in text
    front, text = card(Provenance(public="hf://anna/swin", licence="cc-by-nc-4.0", complete=True))
    assert (front["license"], front["base_model"]) == ("cc-by-nc-4.0", "anna/swin")
    assert "began with: cc-by-nc-4.0" in text


def test_a_card_that_somebody_edited_is_kept(tmp_path):
    path = card_path(tmp_path / "m.onnx")
    write_card(path, f"{MARK} one")
    write_card(path, f"{MARK} two")
    assert path.read_text().endswith("two")
    path.write_text("mine")
    write_card(path, f"{MARK} three")
    assert path.read_text() == "mine"


class FakeApi:
    def __init__(self):
        self.repos, self.commits = [], []

    def create_repo(self, name, private, exist_ok):
        self.repos.append((name, private, exist_ok))
        return f"https://hub/{name}"

    def create_commit(self, name, operations, commit_message):
        files = {}
        for op in operations:
            with op.as_file() as file:
                files[op.path_in_repo] = file.read()
        self.commits.append((name, files))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    out = tmp_path_factory.mktemp("export") / "m.onnx"
    model = ImageClassifier(tiny_backbone(depths=(1, 1)), 2)
    export_model(model, "onnx", out)
    (out.parent / "other.onnx").write_bytes(b"somebody else's")
    return out


def test_a_file_is_pushed_with_its_card_and_its_parity_alone(exported, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    api = FakeApi()
    monkeypatch.setattr(hub, "HfApi", lambda: api)
    result = CliRunner().invoke(cli.group, ["push", str(exported), "hf://anna/net", "--private"])
    assert result.output.splitlines()[-1] == "https://hub/anna/net"
    assert "license: unknown" in result.output
    assert api.repos == [("anna/net", True, True)]
    [(name, files)] = api.commits
    assert name == "anna/net"
    assert set(files) == {"m.onnx", "README.md", "parity.json"}
    assert files["m.onnx"] == exported.read_bytes()
    assert set(json.loads(files["parity.json"])) == {"m.onnx"}
    assert b"library_name: onnx" in files["README.md"]


def test_a_folder_is_pushed_whole(tmp_path):
    pytest.importorskip("huggingface_hub")
    (tmp_path / "net" / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/data", "README.md"):
        (tmp_path / "net" / name).write_text(name)
    (tmp_path / "net" / "parity.json").write_text('{"old name": {}}')
    api = FakeApi()
    push_export(tmp_path / "net", "hf://anna/net", say=lambda text: None, api=api)
    [(_, files)] = api.commits
    assert set(files) == {"saved_model.pb", "variables/data", "README.md", "parity.json"}


def test_only_an_export_is_pushed(exported):
    with pytest.raises(UserError, match="no export that was compared"):
        files_of(exported.parent / "other.onnx")
    with pytest.raises(UserError, match="does not exist"):
        files_of(exported.parent / "nothing")
    for where in ("anna/net", "hf://net", "hf://a/b/c"):
        with pytest.raises(UserError, match="Expected hf://OWNER/NAME"):
            push_export(exported, where)


def test_a_hub_that_refuses_or_cannot_be_reached_is_told_in_a_line(exported):
    hub = pytest.importorskip("huggingface_hub")

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(403)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    api = hub.HfApi(endpoint=endpoint, token="hf_none")
    with pytest.raises(UserError, match=r"hf://anna/net was not written: .*403") as caught:
        push_export(exported, "hf://anna/net", say=lambda text: None, api=api)
    assert "\n" not in str(caught.value)
    server.shutdown()
    server.server_close()

    def offline(*args, **kwargs):
        raise ConnectionError("offline\nmore lines")

    api = SimpleNamespace(create_repo=offline)
    with pytest.raises(UserError, match="was not written: offline The export is untouched"):
        push_export(exported, "hf://anna/net", say=lambda text: None, api=api)


def test_the_extra_is_named(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"eesmm-keras\[hub\]"):
        push_export(exported, "hf://anna/net")


def program(name, task=None, **facts):
    """The program of a card; a classifier's, or that of a task's model."""
    outputs = {"detection": ["boxes", "scores"]}.get(task, ["logits"])
    crop = None if task else CENTRAL_CROP
    metadata = {**METADATA, "task": task, "outputs": dict.fromkeys(outputs), **facts}
    metadata["preprocessing"] = {**METADATA["preprocessing"], "central_crop": crop}
    return FORMATS.get(name)().program(Steps(metadata)).strip()


@pytest.mark.parametrize("name", FORMATS.names())
def test_the_docs_have_every_format_and_its_program(name):
    text = (Path(__file__).parent.parent / "docs" / "exports.md").read_text()
    assert f"`{name}`" in text
    for part in program(name).split("PATH"):
        assert part in text


def test_the_programs_show_a_model_what_predict_shows_it():
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (133, 200, 3), "uint8"))
    cropped = ImageOps.fit(photo, (48, 32), Image.Resampling.BICUBIC, bleed=1 / 16)
    np.testing.assert_array_equal(cropped, CentralView((32, 48))(photo))
    shown = "ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC, bleed=1 / 16)"
    own = {"transformers", "timm"}  # these have transforms of their own
    for name in set(FORMATS.names()) - own:
        line = f"\nimage = {shown}\n"
        assert line in program(name)
        for task in ("segmentation", "detection"):  # whole images
            whole = program(name, task)
            assert "ImageOps" not in whole
            assert "\nimage = image.resize((width, height), Image.Resampling.BICUBIC)\n" in whole


@pytest.mark.parametrize("name", ["litert", "onnx", "openvino", "savedmodel"])
def test_the_programs_print_what_the_task_answers(name):
    mask, box = program(name, "segmentation"), program(name, "detection")
    assert mask.splitlines()[-1].startswith("mask = ")
    assert box.splitlines()[-1].endswith("[scores[0, best].argmax()], boxes[0, best])")
    assert "logits" not in box
    features = program(name, outputs=dict.fromkeys(["pooled", "P2"]))
    assert "logits" not in features
    for text in (mask, box, features):
        compile(text, name, "exec")


def test_the_program_of_a_card_runs(exported, monkeypatch, capsys):
    Image.new("RGB", (40, 50)).save(exported.parent / "photo.jpg")
    monkeypatch.chdir(exported.parent)
    text = card_path(exported).read_text().split("```python\n")[1].split("```")[0]
    exec(compile(text, "program", "exec"), {})
    assert capsys.readouterr().out.strip() in ("0", "1")  # this model has no names of its classes

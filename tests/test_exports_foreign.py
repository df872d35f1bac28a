"""What other libraries open: they compute what Keras computes, and it all comes back bit for bit."""

import keras
import numpy as np
import pytest

from conftest import random_images, to_numpy
from eesmm_keras import ImageClassifier, SwinBackbone, TwinsBackbone, ViTBackbone
from eesmm_keras.exports import ExportError, export_model
from eesmm_keras.exports.formats import FORMATS
from eesmm_keras.exports.graph import build_graph, named_outputs
from eesmm_keras.exports.metadata import describe
from eesmm_keras.tasks.task import Task
from eesmm_keras.training.weights import load_checked

NAMES = ("bat", "cat", "dog")
PIXELS = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}


def swin(**kwargs):
    sizes = {"image_shape": (32, 32, 3), "patch_size": 2, "window_size": 4, "embed_dim": 8}
    return SwinBackbone(**{**sizes, "depths": (1, 2), "num_heads": (1, 2), **PIXELS, **kwargs})


def vit(**kwargs):
    sizes = {"image_shape": (32, 16, 3), "patch_size": 8, "dim": 16, "depth": 2, "num_heads": 2}
    return ViTBackbone(**{**sizes, **PIXELS, **kwargs})


def twins(**kwargs):
    sizes = {"image_shape": (32, 16, 3), "patch_size": 2, "window_size": 3, "dims": (8, 12)}
    heads = {"depths": (2, 1), "num_heads": (1, 2), "reductions": (2, 1)}
    return TwinsBackbone(**{**sizes, **heads, **PIXELS, **kwargs})


def head(backbone, **kwargs):
    return ImageClassifier(backbone, 3, NAMES, **kwargs)


# What the library's model is, where it is not the same for all.
CASES = {
    "swin": (swin, {"transformers": "SwinModel", "timm": ""}),
    "swin classifier": (
        lambda: head(swin(qkv_bias=False)),
        {"transformers": "SwinForImageClassification", "timm": "", "keras_hub": ""},
    ),
    "swin with positions": (lambda: swin(positions="learned"), {"transformers": "SwinModel"}),
    "twins": (twins, {"timm": "twins_svt_small"}),
    "twins classifier without windows": (
        lambda: head(twins(window_size=None, mlp_ratio=(8.0, 4.0))),
        {"timm": "twins_pcpvt_small"},
    ),
    "vit": (vit, {"transformers": "ViTModel", "timm": "", "keras_hub": ""}),
    "vit classifier": (
        lambda: head(vit(image_shape=(16, 16, 3))),
        {"transformers": "Dinov2ForImageClassification", "timm": ""},
    ),
    "vit classifier on its class token": (
        lambda: head(vit(positions="learned"), pooling="token"),
        {"transformers": "ViTForImageClassification", "timm": "", "keras_hub": ""},
    ),
    "vit without class token": (
        lambda: head(vit(class_token=False)),
        {"transformers": "IJepaForImageClassification", "timm": "", "keras_hub": ""},
    ),
}
PAIRS = [(case, name) for case, (_, formats) in CASES.items() for name in formats]


def available(name):
    kind = FORMATS.get(name)()
    for module in kind.needs:
        pytest.importorskip(module)
    return kind


def shaken(model):
    """Weights far from their initial values, so that biases, tables and tokens matter."""
    rng = np.random.default_rng(7)
    model.set_weights([w + rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """`(model, folder, graph)` of a case in a format; the folder is made once."""
    folder, models, made = tmp_path_factory.mktemp("foreign"), {}, {}

    def write(case, name):
        kind = available(name)
        if case not in models:
            models[case] = shaken(CASES[case][0]())
        model, out = models[case], folder / f"{case} {name}".replace(" ", "-")
        if out not in made:
            features = not isinstance(model, Task)
            graph = build_graph(model, preprocessing=True, features=features, resize=False)
            metadata = describe(model, graph, kind, preprocessing=True, resize=False)
            kind.write(graph, metadata, out)
            made[out] = graph
        return model, out, made[out]

    return write


@pytest.mark.parametrize(("case", "name"), PAIRS)
def test_the_library_computes_what_keras_computes(case, name, written):
    model, out, graph = written(case, name)
    kind, images = (
        FORMATS.get(name)(),
        random_images(3)[:, : graph.spec.shape[1], : graph.spec.shape[2]],
    )
    found = kind.run(str(out), {"batch": images})["batch"]
    assert set(found) == set(kind.outputs(graph))
    expected = named_outputs(model, features=not isinstance(model, Task))(images)
    for key, value in found.items():
        np.testing.assert_allclose(value, to_numpy(expected[key]), atol=2e-5)
    assert CASES[case][1][name] in (out / "config.json").read_text()


@pytest.mark.parametrize(("case", "name"), PAIRS)
def test_it_comes_back_bit_for_bit(case, name, written):
    model, out, _ = written(case, name)
    again = load_checked(str(out))
    assert type(again) is type(model)
    mine, theirs = (
        {v.path.removeprefix(f"{m.name}/"): to_numpy(v) for v in m.weights} for m in (model, again)
    )
    assert mine.keys() == theirs.keys()
    for path, value in mine.items():
        np.testing.assert_array_equal(theirs[path], value, err_msg=path)
    here, there = (getattr(m, "backbone", m).get_config() for m in (model, again))
    assert {**here, "name": ""} == {**there, "name": ""}
    assert getattr(again, "pooling", None) == getattr(model, "pooling", None)
    if isinstance(model, Task) and name != "keras_hub":  # which keeps no names
        assert again.class_names == NAMES


def test_transformers_own_processor_makes_the_pixels(written):
    model, out, _ = written("swin classifier", "transformers")
    import torch
    import transformers

    images = random_images(2)
    processor = transformers.AutoImageProcessor.from_pretrained(out)
    peer = transformers.AutoModelForImageClassification.from_pretrained(out).eval()
    with torch.no_grad():
        logits = peer(**processor(list(images), return_tensors="pt")).logits
    np.testing.assert_allclose(logits.numpy(), to_numpy(model(images)), atol=2e-5)
    assert peer.config.id2label == dict(enumerate(NAMES))


def test_timm_opens_the_folder_by_itself(written):
    model, out, _ = written("vit classifier", "timm")
    import timm
    import torch

    peer = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    data = timm.data.resolve_model_data_config(peer)
    assert (tuple(data["mean"]), tuple(data["std"])) == (PIXELS["mean"], PIXELS["std"])
    assert tuple(data["input_size"]) == (3, 16, 16)
    images = random_images(2)[:, :16, :16]
    pixels = ((images / 255 - data["mean"]) / data["std"]).astype("float32")
    with torch.no_grad():
        logits = peer(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(logits.numpy(), to_numpy(model(images)), atol=2e-5)


@keras.saving.register_keras_serializable(package="tests")
class Other(Task):
    """A task that is none of other libraries'."""

    output_descriptions = {"number": "one number"}  # noqa: RUF012

    def __init__(self, backbone, **kwargs):
        super().__init__(backbone, **kwargs)
        self.built = True

    def call(self, images, training=False):
        return keras.ops.mean(self.backbone(images, training=training), axis=(1, 2))


REFUSED = [
    ("keras_hub", lambda: head(vit()), "no model that is a ViTBackbone with a class token and a head"),
    ("timm", lambda: swin(positions="learned"), "positions=learned .*cannot be written"),
    ("timm", lambda: swin(version=2), "no place for .*logit_scale: it cannot be written"),
    ("timm", lambda: swin(window_size=3), "rolls maps before it pads.*no multiple of the window 3"),
    ("keras_hub", lambda: swin(window_size=3), "pads maps in another way.*of the window 3"),
    ("timm", lambda: vit(norm_epsilon=1e-5), "adds 1e-06 .* this encoder 1e-05"),
    ("keras_hub", lambda: swin(norm_epsilon=1e-6), "norm_epsilon=1e-06: it cannot be written"),
    ("transformers", lambda: swin(shift=False), "this encoder none .shift=False."),
    ("transformers", lambda: swin(window_size=(2, 4)), r"\[2, 4\] by stage on maps of 16x16, 8x8"),
    ("transformers", lambda: head(vit(mlp_ratio=2.5)), "a whole number of times"),
    ("transformers", lambda: head(vit()), "takes square images"),
    ("transformers", lambda: Other(swin()), "image classifiers, and this is a Other. --features"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "model", "message"), REFUSED)
def test_what_the_library_cannot_be_is_refused_in_one_line(name, model, message, tmp_path):
    available(name)
    with pytest.raises(ExportError, match=message) as caught:
        export_model(model(), name, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [{"resize": True}, {"preprocessing": False}])
def test_the_input_is_the_librarys(option, tmp_path):
    available("timm")
    with pytest.raises(ExportError, match="fixed by the library"):
        export_model("any.keras", "timm", tmp_path / "out", **option)


@pytest.mark.parametrize("name", ["transformers", "timm", "keras_hub"])
def test_a_library_that_is_missing_is_told_with_its_extra(name, tmp_path, monkeypatch):
    cls = FORMATS.get(name)
    monkeypatch.setattr(cls, "needs", (*cls.needs, "no_such_library"))
    extra = rf"needs .*no_such_library: pip install 'eesmm-keras\[{name.replace('_', '-')}\]'"
    with pytest.raises(ExportError, match=extra):
        export_model("any.keras", name, tmp_path / "out")

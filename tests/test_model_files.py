"""A `.keras` file that is damaged, or made to harm, is refused in one short line, and fast."""

import io
import json
import os
import re
import resource
import zipfile

import h5py
import numpy as np
import pytest

from conftest import tiny_backbone
from eesmm_keras import ImageClassifier, LayerDecayAdamW, load_model
from eesmm_keras.errors import UserError
from eesmm_keras.training.weights import load_checked


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Contents of a small, compiled model's file."""
    model = ImageClassifier(tiny_backbone(depths=(1, 1)), 3)
    model.compile(LayerDecayAdamW(1e-3, use_ema=True, gradient_accumulation_steps=2), "mse")
    model.optimizer.build(model.trainable_variables)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def config(change):
    def damage(members):
        content = json.loads(members["config.json"])
        changed = change(content)
        members["config.json"] = json.dumps(content if changed is None else changed).encode()

    return damage


def weights(change):
    def damage(members):
        file = io.BytesIO(members["model.weights.h5"])
        with h5py.File(file, "r+") as archive:
            change(archive)
        members["model.weights.h5"] = file.getvalue()

    return damage


def give(name, data):
    return lambda members: members.update({name: data})


def unwritten(archive):
    """An array of 40 GB of which nothing is in the file."""
    archive.create_dataset("more/vars/0", (10**10,), "float32", chunks=(10**6,))


def packed(archive):
    zeros = np.zeros(10**7, "float32")
    archive.create_dataset("more/vars/0", data=zeros, compression="gzip")


def without_weights(archive):
    for name in list(archive):
        del archive[name]


DAMAGE = {
    "no config": lambda members: members.pop("config.json"),
    "no weights": lambda members: members.pop("model.weights.h5"),
    "config empty": give("config.json", b""),
    "config a list": give("config.json", b"[]"),
    "config nested": give("config.json", b"[" * 100_000),
    "config not UTF-8": give("config.json", b"\xff\xfe"),
    "config huge": give("config.json", b" " * (2**24 + 1)),
    "class unknown": config(
        lambda content: content.update(class_name="Nobody", registered_name="eesmm_keras>Nobody")),
    "class a layer": config(
        lambda content: {"class_name": "Dense", "module": "keras.layers", "config": {"units": 2}}),
    "arguments missing": config(lambda content: content["config"].pop("num_classes")),
    "weights empty": give("model.weights.h5", b""),
    "weights text": give("model.weights.h5", b"x" * 1000),
    "weights of nothing": weights(without_weights),
    "weights a bomb": give("model.weights.h5", bytes(2**28)),
    "array never written": weights(unwritten),
    "array compressed": weights(packed),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_damaged_files_are_refused_in_one_short_line(damage, members, tmp_path):
    members, path = dict(members), tmp_path / "model.keras"
    damage(members)
    write(path, members)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError) as told:
        load_checked(path)
    reason = str(told.value).removeprefix(f"{path} cannot be read as a Keras model: ")
    assert 10 < len(reason) < 400
    assert "\n" not in reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("kind", ["pipe", "folder", "empty", "cut"])
def test_what_is_no_whole_file_is_refused(kind, members, tmp_path):
    path = tmp_path / "model.keras"
    write(path, members)
    data = path.read_bytes()
    path.unlink()
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "empty": path.touch,
        "cut": lambda: path.write_bytes(data[:-50]),
    }[kind]()
    with pytest.raises(UserError):
        load_checked(path)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load_model(path)


def test_a_whole_file_is_loaded_with_its_optimizer(members, tmp_path):
    write(tmp_path / "model.keras", members)
    optimizer = load_model(tmp_path / "model.keras").optimizer
    assert optimizer.built
    assert optimizer.use_ema

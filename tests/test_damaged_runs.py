"""A run whose files were damaged: one line that tells what and what to do, or it goes on."""

import io
import json
import os
import pickle
import re
import shutil
import zipfile

import numpy as np
import pytest

from eesmm_keras.training.run_lock import RunLock
from small_runs import command, stopped_after


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run stopped after 3 of 4 steps, with checkpoints of the steps 0 to 3."""
    out = tmp_path_factory.mktemp("damaged") / "run"
    with stopped_after(3):
        status, told = command(out)
        assert status == 75, told
    assert len(list((out / "checkpoints").iterdir())) == 4
    return out


@pytest.fixture
def run(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "run")


def write(name, data):
    def damage(run):
        (run / name).write_bytes(data)

    return damage


def instead(name, kind):
    """Something of another kind in the place of a file or folder."""

    def damage(run):
        path = run / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        {
            "folder": path.mkdir,
            "file": lambda: path.write_text("x"),
            "pipe": lambda: os.mkfifo(path),
            "dangling": lambda: path.symlink_to("nothing"),
            "loop": lambda: path.symlink_to(path.name),
        }[kind]()

    return damage


def checkpoints(run):
    return sorted((run / "checkpoints").glob("step_*.npz"), reverse=True)


def every(damage_path):
    def damage(run):
        for path in checkpoints(run):
            damage_path(path)

    return damage


def repacked(change=lambda members: None, **options):
    """A checkpoint written anew, its members changed."""

    def damage(path):
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        change(members)
        with zipfile.ZipFile(path, "w", **options) as archive:
            for name, data in members.items():
                archive.writestr(name, data)

    return damage


def facts(value):
    return repacked(lambda members: members.update({"facts.json": json.dumps(value).encode()}))


def array(value, name="model/00000.npy", pickled=False):
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=pickled)
    return repacked(lambda members: members.update({name: buffer.getvalue()}))


def encrypted(path):
    """The bit that says so, in every member's header of the archive's directory."""
    data = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = data.find(signature)
        while at >= 0:
            data[at + place] |= 1
            at = data.find(signature, at + 4)
    path.write_bytes(data)


def foreign_method(path):
    data = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + place] = 97
            at = data.find(signature, at + 4)
    path.write_bytes(data)


def kind_of(kind):
    def damage(path):
        instead(path.name, kind)(path.parent)

    return damage


def bomb(path):
    """A member that is much larger than its array."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = io.BytesIO()
    np.save(header, np.zeros(0, "float32"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)
                if name == "model/00000.npy":
                    for _ in range(64):
                        member.write(bytes(2**20))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


CONFIG = {
    "empty": (write("config.yaml", b""), "must hold task, backend and settings, and holds None"),
    "list": (write("config.yaml", b"- 1\n- 2\n"), "must hold task"),
    "number": (write("config.yaml", b"3"), "must hold task"),
    "no settings": (write("config.yaml", b"task: pretrain\nbackend: jax\n"), "settings must be"),
    "settings a list": (
        write("config.yaml", b"task: pretrain\nbackend: jax\nsettings: [1]\n"), "settings must be"),
    "settings empty": (
        write("config.yaml", b"task: pretrain\nbackend: jax\nsettings: {}\n"), "batch_size must be"),
    "task a number": (write("config.yaml", b"task: 3\nbackend: x\nsettings: {}\n"), "task must be"),
    "no backend": (write("config.yaml", b"task: x\nsettings: {}\n"), "backend must be text"),
    "derived a list": (
        write("config.yaml", b"task: x\nbackend: x\nsettings: {}\nderived: []\n"), "derived must be"),
    "derived text": (
        write("config.yaml", b"task: x\nbackend: x\nsettings: {}\nderived: {batch_size: many}\n"),
        "batch_size must be"),
    "derived negative": (
        write("config.yaml", b"task: x\nbackend: x\nsettings: {}\nderived: {batch_size: -4}\n"),
        "batch_size must be"),
    "not UTF-8": (write("config.yaml", b"task: \xff\xfe"), "byte 6 is no UTF-8"),
    "zeros": (write("config.yaml", bytes(500)), "not valid YAML"),
    "broken YAML": (write("config.yaml", b"task: {a"), "not valid YAML"),
    "huge": (write("config.yaml", b"#" * (2**26 + 1)), "more than"),
    "nested": (write("config.yaml", b"[" * 3000), "not valid YAML"),
    "odd keys": (
        write("config.yaml", b"task: pretrain\nbackend: tensorflow\nsettings: {1: 2, null: 3, "
              b"batch_size: 4, steps_per_epoch: 2}\n"), "other settings"),
    "another task": (
        write("config.yaml", b"task: finetune\nbackend: tensorflow\nsettings: {batch_size: 4, "
              b"steps_per_epoch: 2}\n"), "task is 'finetune' there"),
    "gone": (lambda run: (run / "config.yaml").unlink(), "has no config.yaml"),
    "folder": (instead("config.yaml", "folder"), "is a folder, but must be a file"),
    "pipe": (instead("config.yaml", "pipe"), "is a pipe, but must be a file"),
    "dangling": (instead("config.yaml", "dangling"), "is a link to nothing"),
    "loop": (instead("config.yaml", "loop"), "cannot be read"),
}  # fmt: skip
PLACES = {
    "metrics not UTF-8": (write("metrics.csv", b"epoch,\xff\n1,2\n"), "no UTF-8.*Move it away"),
    "metrics a folder": (instead("metrics.csv", "folder"), "metrics.csv is a folder"),
    "metrics a pipe": (instead("metrics.csv", "pipe"), "metrics.csv is a pipe"),
    "bad images a folder": (instead("bad_images.txt", "folder"), "bad_images.txt is a folder"),
    "bad images a pipe": (instead("bad_images.txt", "pipe"), "bad_images.txt is a pipe"),
    "model a folder": (instead("model.keras", "folder"), "model.keras is a folder"),
    "model a pipe": (instead("model.keras", "pipe"), "model.keras is a pipe"),
    "unfinished model a folder": (instead("unfinished.keras", "folder"), "is a folder"),
    "lock a folder": (instead("lock", "folder"), "lock is a folder"),
    "lock a pipe": (instead("lock", "pipe"), "lock is a pipe"),
    "checkpoints a file": (instead("checkpoints", "file"), "checkpoints is a file"),
    "checkpoints a pipe": (instead("checkpoints", "pipe"), "checkpoints is a pipe"),
    "pictures a file": (instead("pictures", "file"), "pictures is a file"),
    "tensorboard a file": (instead("tensorboard", "file"), "tensorboard is a file"),
    "tensorboard a pipe": (instead("tensorboard", "pipe"), "tensorboard is a pipe"),
}
CHECKPOINTS = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello"),
    "cut": cut,
    "foreign zip method": foreign_method,
    "encrypted": encrypted,
    "no facts": repacked(lambda members: members.pop("facts.json")),
    "facts no JSON": repacked(lambda members: members.update({"facts.json": b"{"})),
    "facts nested": repacked(lambda members: members.update({"facts.json": b"[" * 100_000})),
    "facts huge": repacked(lambda members: members.update({"facts.json": b" " * 2**21})),
    "facts a list": facts([1, 2]),
    "step text": facts({"step": "three", "images": 20}),
    "step missing": facts({"images": 20}),
    "step negative": facts({"step": -3, "images": 20}),
    "step a fraction": facts({"step": 2.5, "images": 20}),
    "step another": facts({"step": 10**9, "images": 20}),
    "images text": facts({"step": 3, "images": "many"}),
    "undecayed a number": facts({"step": 3, "images": 20, "undecayed": 3}),
    "array of text": array(np.full((3,), "x")),
    "array of objects": array(np.array([{}, None]), pickled=True),
    "array no array": repacked(lambda members: members.update({"model/00000.npy": b"x" * 200})),
    "array a pickle": repacked(
        lambda members: members.update({"model/00000.npy": pickle.dumps([1])})),
    "bomb": bomb,
    "folder": kind_of("folder"),
    "pipe": kind_of("pipe"),
    "dangling": kind_of("dangling"),
    "loop": kind_of("loop"),
}  # fmt: skip


def untouched(run, but=()):
    """Names and sizes of the files below the folder."""
    return {
        str(path.relative_to(run)): path.lstat().st_size
        for path in run.rglob("*")
        if path.is_file() and path.name not in but
    }


@pytest.mark.parametrize("state", [*CONFIG.items(), *PLACES.items()], ids=lambda item: item[0])
def test_a_damaged_folder_is_told_and_left_as_it_is(state, run):
    _, (damage, expected) = state
    damage(run)
    before = untouched(run)
    status, told = command(run)
    assert status == 2
    assert "\n" not in told
    assert len(told) < 600
    assert re.search(expected, told), told
    assert untouched(run) == before


@pytest.mark.parametrize("state", CHECKPOINTS.items(), ids=lambda item: item[0])
def test_a_damaged_checkpoint_is_told(state, run):
    """All of them, so that nothing has to be trained; one alone is passed over, see below."""
    every(state[1])(run)
    status, told = command(run)
    assert status == 2
    assert "None of the checkpoints" in told


def test_what_can_be_passed_over_is(run):
    """The newest checkpoint that is whole is taken; lists are completed; a dead owner is told."""
    third, second, first, _ = checkpoints(run)
    foreign_method(third)
    kind_of("pipe")(second)
    array(np.zeros((2, 2), "float64"), "model/00001.npy")(first)
    write("bad_images.txt", b"\xff\xfe.jpg: odd\n")(run)
    write("lock", json.dumps({"host": "elsewhere", "pid": 12}).encode())(run)
    write("partial-config.yaml", b"x")(run)
    status, told = command(run)
    assert status == 0, told
    for path in (third, second, first):
        assert f"{path} is damaged" in told
    assert "left by process 12 on elsewhere" in told
    assert "Going on" not in told
    assert (run / "model.keras").is_file()
    assert (run / "bad_images.txt").read_bytes() == b"\xff\xfe.jpg: odd\n"
    assert not (run / "lock").exists()


@pytest.mark.parametrize("text", [b"\xff\xfe", b"[1]", b'{"host": 3, "pid": -1}'])
def test_a_lock_that_nobody_holds_is_taken_whatever_it_says(text, tmp_path):
    (tmp_path / "lock").write_bytes(text)
    with RunLock(tmp_path / "lock"):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "lock").exists()

"""Odd values of every option of every command end in a line or two, never in a traceback.

The options are those that the commands have: a new one is tried without a change here. Training
itself is replaced, so that a value that is taken after all costs nothing. `EESMM_ALL_ODD_CALLS=1`
tries every value of every option, which takes minutes; otherwise each option gets some.
"""

import os
import random
import zlib

import click
import keras
import pytest
from PIL import Image

from conftest import TINY_SWIN, random_images
from eesmm_keras.cli import main as cli
from eesmm_keras.errors import UserError

ODD = (
    "", " ", "-1", "0", "4294967296", "1e400", "nan", "x", "x" * 300, "../..", "/dev/null", "[1, 2",
    "a=b", "=", ":", "hf://", "\u00e9\u200b", "&a [*a]", "none:none=none", "cpu:0", "1/0", "true",
)  # fmt: skip
# Whole seconds of work where a value is taken, or nothing to try: they have tests of their own.
SLOW = ("demo", "benchmark", "compare", "doctor")
# They build a model before they reach the training.
RUNS = ("pretrain", "finetune")
ODD_SETTINGS = (
    "seed=-1", "seed=4294967296", "warmup_epochs=.nan", "crop_ratio=[.inf,.inf]", "num_mixed=0",
    "num_mixed=x", "decoder_num_heads=0", "ema_momentum=2", "ema_momentum=-1", "crop_scale=[1,0]",
    "beta_1=1", "epsilon=0", "mask_ratio=1", "mask_ratio=.nan", "mask_bank_size=1e9", "norm_pixels=7",
    "loss=huber", "loss_weights=[-1]", "mix_weights=[0,0]", "num_views=0", "block_size=999",
    "decomposition=x", "unmixed_share=2", "learning_rate=-1", "checkpoint_every=0 minutes",
    "checkpoint_every=soon", "weight_decay=[]", "probe_mode=x", "limit=0", "flip=2", "data=",
    "out=", "method=x", "=", "seed", "seed=&a [*a]", "method_args={}", "device=x", "decoder_dim=7",
)  # fmt: skip
ODD_ENCODERS = (
    "patch_size=0", "std=[0,0,0]", "image_shape=[32,32,1]", "image_shape=[0,0,3]", "window_size=0",
    "depths=[]", "depths=[0,0]", "num_heads=[3,5]", "embed_dim=-4", "mean=[1]", "drop_path=2",
    "image_shape=[32,64]", "mlp_ratio=0", "unknown=1", "dtype=x", "embed_dim=1e9",
)  # fmt: skip


def _options(command):
    """Names of a command's options that take a value."""
    found = cli.LazyGroup.get_command(cli.group, None, command).params
    return [o.opts[0] for o in found if isinstance(o, click.Option) and not o.is_flag]


def _values(command, option):
    """Some odd values, the same in every session."""
    if os.environ.get("EESMM_ALL_ODD_CALLS"):
        return ODD
    if command in SLOW:
        return ()
    return random.Random(zlib.crc32(f"{command} {option}".encode())).sample(ODD, 4)


def _calls():
    for command in cli.COMMANDS:
        for option in _options(command):
            values = _values(command, option)
            for value in values[:1] if command in RUNS else values:
                yield command, [option, value]
        yield command, ["--no-such-option"]
        yield command, ["unasked-for"]
    for value in ODD_SETTINGS:
        yield ("finetune" if value.startswith("ema") else "pretrain"), ["--set", value]
    for value in ODD_ENCODERS:
        yield "pretrain", ["--backbone", f"swin_mini_32:{value}"]


CALLS = list(_calls())
MORE_CALLS = [
    (command, [option, value])
    for command in RUNS
    for option in _options(command)
    for value in _values(command, option)[1:]
]


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """What makes each command run: dict from an option to its value."""
    folder = tmp_path_factory.mktemp("odd")
    photos = folder / "photos"
    for number, image in enumerate(random_images(12)):
        path = photos / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return {
        "--data": str(photos), "--out": "here", "--backbone": TINY_SWIN, "--images": str(photos),
        "--batch-size": "4", "--epochs": "1", "--weights": "none", "--format": "onnx",
        "--methods": "eesmm", "--budget": "images=8",
    }  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_is_trained(monkeypatch, tmp_path):
    def reached(*args):
        raise UserError("Reached the training.")

    monkeypatch.setattr("eesmm_keras.training.loop.train", reached)
    monkeypatch.chdir(tmp_path)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


def calls(listed):
    names = [f"{command} {' '.join(odd)}"[:60] for command, odd in listed]
    return pytest.mark.parametrize(("command", "odd"), listed, ids=names)


@calls(MORE_CALLS)
def test_more_values_of_options_of_runs(command, odd, usual, capfd):
    _ends_in_a_line(command, odd, usual, capfd)


@calls(CALLS)
def test_a_line_and_no_traceback(command, odd, usual, capfd):
    _ends_in_a_line(command, odd, usual, capfd)


def _ends_in_a_line(command, odd, usual, capfd):
    known = _options(command)
    words = [word for pair in usual.items() if pair[0] in known for word in pair]
    # The last one of an option counts.
    with pytest.raises(SystemExit) as leave:
        cli.main([command, *words, *odd])
    text = capfd.readouterr().err
    assert leave.value.code in (0, 2), text
    assert "Traceback" not in text
    if leave.value.code:
        assert "Error: " in text
        message = text[text.index("Error: ") :]
        assert len(message) < 1200, message
        assert message.count("\n") <= 6, message

"""What is refused: networks that ours are not, and damaged or dangerous files, in one line each."""

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from weights_files import SWIN, VIT, arrays, error_of, write

from eesmm_keras.converters.recognition import open_weights
from eesmm_keras.converters.source import open_source


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"dist_token": np.zeros((1, 1, 16))}, "more than one token before the patches"),
        ({"blocks.0.attn.q_norm.weight": np.zeros(8)}, "normalised queries and keys"),
        ({"blocks.0.attn.relative_position_bias_table": np.zeros((4, 2))}, "relative positions"),
    ],
)
def test_what_our_vit_is_not(extra, message, tmp_path):
    where = write(tmp_path / "w.safetensors", {**arrays(VIT), **extra})
    assert message in error_of(open_weights, where)


def test_what_our_swin_is_not(tmp_path):
    values = arrays(SWIN)
    bare = {k: v for k, v in values.items() if "patch_embed.norm" not in k}
    assert "no normalisation after the patch" in error_of(
        open_weights, write(tmp_path / "bare.safetensors", bare)
    )
    oblong = {k: v[:28] if "bias_table" in k else v for k, v in values.items()}
    assert "no square window" in error_of(
        open_weights, write(tmp_path / "oblong.safetensors", oblong)
    )
    gap = {k: v for k, v in values.items() if not k.startswith("layers.0.blocks.0")}
    assert "of no known layout" in error_of(open_weights, write(tmp_path / "gap.safetensors", gap))
    dmjd = {
        "patch_embed1.proj.weight": np.zeros((4, 3, 4, 4)),
        "blocks1.0.conv1.weight": np.zeros(4),
        "fc_norm.weight": np.zeros(4),
    }
    where = write(tmp_path / "dmjd.safetensors", dmjd)
    assert "normalisation behind the pooling" in error_of(open_weights, where)
    del dmjd["fc_norm.weight"]
    assert "is missing" in error_of(open_weights, write(tmp_path / "dmjd.safetensors", dmjd))
    sparse = {
        "patch_embeds.0.proj.weight": np.zeros((4, 3, 4, 4)),
        "patch_embeds.0.proj.bias": np.zeros(4),
        "patch_embeds.1.proj.weight": np.zeros((8, 2, 2, 4)),
        "patch_embeds.1.proj.bias": np.zeros(8),
        **{f"pos_block.{stage}.proj.0.weight": np.zeros(4) for stage in (0, 1)},
    }
    where = write(tmp_path / "sparse.safetensors", sparse)
    assert "GreenMIM's sparse convolutions cannot be taken over" in error_of(open_weights, where)
    two = {f"{side}.{k}": v for k, v in values.items() for side in ("student", "teacher")}
    assert "holds 2 encoders" in error_of(open_weights, write(tmp_path / "two.safetensors", two))
    write(tmp_path / "model.safetensors", values)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_act": "relu"}))
    folder = tmp_path / "relu"
    folder.mkdir()
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).rename(folder / name)
    assert "activation 'relu'" in error_of(open_weights, str(folder))


class Evil:
    def __reduce__(self):
        return (open, ("/tmp/eesmm-was-here", "w"))


def damaged_files(folder):
    whole = SWIN.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    huge = struct.pack("<Q", 2**40) + whole[8:]
    header = json.loads(whole[8 : 8 + length])
    name = next(key for key in header if key != "__metadata__")
    lies = []
    for change in (
        {"data_offsets": [0, 2**50]}, {"shape": [-1]}, {"shape": [2**40, 2**40]}, {"dtype": "F4096"},
        {"data_offsets": "ab"}, {"shape": "none"},
    ):  # fmt: skip
        text = json.dumps({**header, name: {**header[name], **change}}).encode()
        lies.append(struct.pack("<Q", len(text)) + text + whole[8 + length :])
    deep = b"[" * 100_000
    contents = {
        "cut.safetensors": whole[: len(whole) // 2], "short.safetensors": b"abc",
        "huge.safetensors": huge,
        "empty.safetensors": b"", "list.safetensors": struct.pack("<Q", 2) + b"[]",
        "deep.safetensors": struct.pack("<Q", len(deep)) + deep,
        **{f"lie{i}.safetensors": lie for i, lie in enumerate(lies)},
        "text.npz": b"no zip", "text.pth": b"no pickle", "empty.bin": b"",
        "evil.pth": pickle.dumps({"model": Evil()}),
        "lfs.bin": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return sorted(contents)


def test_damaged_files_end_in_one_line_and_run_nothing(tmp_path):
    pytest.importorskip("torch")
    import torch

    names = damaged_files(tmp_path)
    torch.save({"model": Evil()}, tmp_path / "evil2.pth")
    for name in [*names, "evil2.pth"]:
        text = error_of(open_source, str(tmp_path / name))
        assert name in text
        assert "\n" not in text
    text = error_of(open_source, str(tmp_path / "evil2.pth"))
    assert "holds more than weights: io.open. Such files can run code" in text
    assert not Path("/tmp/eesmm-was-here").exists()

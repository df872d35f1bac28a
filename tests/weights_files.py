"""Files of weights for tests of importing, and how to write others."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from conftest import to_numpy
from eesmm_keras.converters import reading
from eesmm_keras.errors import UserError

FOREIGN = Path(__file__).parent / "foreign"
SWIN, VIT = FOREIGN / "swin_official.safetensors", FOREIGN / "vit_timm.safetensors"
SHAPE = {"image_shape": (32, 32, 3), "patch_size": 2, "embed_dim": 8, "depths": (2, 1),
         "num_heads": (1, 2), "window_size": 4}  # fmt: skip


def arrays(path):
    return {name: tensor.array() for name, tensor in reading.read_safetensors(path).items()}


def write(path, values, metadata=None):
    """A `.safetensors` file, by the format's description."""
    header, body = {"__metadata__": metadata or {"format": "pt"}}, b""
    for name, value in values.items():
        data = np.ascontiguousarray(value, "float32").tobytes()
        header[name] = {
            "dtype": "F32", "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }  # fmt: skip
        body += data
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)
    return str(path)


def error_of(function, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        function(*args, **kwargs)
    text = str(caught.value)
    assert len(text) < 700
    return text


def weights_of(model):
    return [to_numpy(variable) for variable in model.weights]

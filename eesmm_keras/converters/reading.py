"""Files of weights to arrays by name. Nothing in a file is run; arrays are read when asked for.

`.safetensors` needs no package: its header is JSON, and the numbers follow as they are.
Pickles (`.bin`, `.pth`, `.pt`, `.ckpt`) go through `torch.load(weights_only=True)` alone.
"""

import json
import re
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np

from eesmm_keras.errors import UserError

# What its inventors allow.
_LARGEST_HEADER = 100_000_000
_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
PICKLES = (".bin", ".pth", ".pt", ".ckpt")
SUFFIXES = (".safetensors", ".npz", ".h5", *PICKLES)


class Tensor:
    """One array of a file, read when it is asked for: `shape`, and `array()`, float32."""

    def __init__(self, shape, read):
        self.shape, self._read = tuple(int(side) for side in shape), read

    def array(self):
        return np.asarray(self._read()).astype("float32")


def read_file(path):
    """All arrays of a file.

    Returns:
        `{container: {name: Tensor}}`: containers are the dicts of a nested pickle, such as "model" or
        "state_dict"; "" is the file itself.

    Raises:
        UserError: an unknown kind of file, a damaged one, or one that holds code.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return {"": read_safetensors(path)}
    if path.suffix == ".npz":
        return {"": _read_npz(path)}
    if path.suffix == ".h5":
        return {"": _read_hdf5(path)}
    if path.suffix in PICKLES:
        return _read_pickle(path)
    raise UserError(
        f"{path} is no file of weights that can be read. Known: {', '.join(SUFFIXES)}, .keras."
    )


def read_safetensors(path):
    """`{name: Tensor}` of a `.safetensors` file.

    Raises:
        UserError: the file is cut off, or its header is not what the format says.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_LARGEST_HEADER, size - 8):
            raise _damaged(path, f"its header would have {length} bytes, the file has {size}")
        try:
            header = json.loads(file.read(length))
            entries = {k: v for k, v in header.items() if k != "__metadata__"}
            return {name: _entry(path, size - 8 - length, 8 + length, **entry)
                    for name, entry in entries.items()}  # fmt: skip
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise _damaged(path, f"its header cannot be read: {str(error)[:200]}") from error


def _entry(path, room, start, dtype, shape, data_offsets):
    first, last = data_offsets
    # Keras depends on this package; it makes "bfloat16" known to NumPy.
    import ml_dtypes

    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "BF16" else _DTYPES[dtype])
    count = int(np.prod([int(side) for side in shape], dtype=object)) if shape else 1
    if not 0 <= first <= last <= room or last - first != count * kind.itemsize:
        raise ValueError(f"{shape} of {dtype} does not fit into bytes {first} to {last} of {room}")
    return Tensor(shape, lambda: np.fromfile(
        path, dtype=kind, count=count, offset=start + first).reshape(shape))  # fmt: skip


def _read_npz(path):
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        stored, unpacked = path.stat().st_size, sum(member.file_size for member in members)
        if unpacked > 50 * stored + 2**20:
            raise _damaged(path, f"{stored} bytes would unpack to {unpacked}")
        with np.load(path, allow_pickle=False) as arrays:
            names = arrays.files
            values = {name: arrays[name] for name in names}
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        if isinstance(error, UserError):
            raise
        raise _damaged(path, str(error)[:200]) from error
    return {
        name: Tensor(value.shape, lambda value=value: value)
        for name, value in values.items()
        if value.dtype.kind in "fiu"
    }


def _read_hdf5(path):
    """Variables of a Keras weights file: `layers/a/b/vars/0` becomes `a.b.0`."""
    import h5py

    tensors, room = {}, 4 * path.stat().st_size + 2**20

    def visit(group, where):
        nonlocal room
        for key in group:
            # Links that lead out of the file are left alone.
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            item, name = group[key], f"{where}/{key}"
            if isinstance(item, h5py.Group) and name.count("/") < 32:
                visit(item, name)
            elif isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
                room -= item.nbytes
                if room < 0 or item.is_virtual or item.external:
                    raise ValueError("its arrays are larger than the file, or outside of it")
                value = item[()]
                tensors[dotted(name)] = Tensor(value.shape, lambda value=value: value)

    try:
        with h5py.File(path, "r") as file:
            visit(file, "")
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise _damaged(path, str(error)[:200]) from error
    return tensors


def dotted(name):
    """`/layers/a/b/vars/0` in an HDF5 file of Keras -> `a.b.0`."""
    return name.removeprefix("/layers/").replace("/vars/", "/").strip("/").replace("/", ".")


class _Nothing:
    """Stands for what training scripts put beside their weights, whatever a file says of it."""

    def __init__(self, *args, **kwargs):
        """Nothing of it is needed."""

    def __setstate__(self, state):
        """Nothing of it is needed."""


# Settings and numbers that are read as something harmless; torch fills dicts of its own kinds only.
_STAND_INS = {
    "argparse.Namespace": _Nothing,
    "pathlib.PosixPath": _Nothing,
    "numpy.dtype": _Nothing,
    "numpy.core.multiarray.scalar": _Nothing,
    "numpy._core.multiarray.scalar": _Nothing,
    "yacs.config.CfgNode": OrderedDict,
    "easydict.EasyDict": OrderedDict,
    "pytorch_lightning.utilities.parsing.AttributeDict": OrderedDict,
    "lightning_fabric.utilities.data.AttributeDict": OrderedDict,
    "lightning.fabric.utilities.data.AttributeDict": OrderedDict,
}


def _read_pickle(path):
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path} is a pickle, which needs PyTorch to be read safely: pip install "
            "'eesmm-keras[torch]'. Files in .safetensors need nothing."
        ) from error
    with open(path, "rb") as file:
        if file.read(64).startswith(b"version https://git-lfs"):
            raise _damaged(path, "it is a pointer of Git LFS, not the file itself")
    known = [(kind, name) for name, kind in _STAND_INS.items()]
    try:
        with torch.serialization.safe_globals(known), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mapped = zipfile.is_zipfile(path) or None
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises many kinds, all meaning the same to the user.
        text = str(error)
        blamed = re.search(r"GLOBAL ([\w.]+)", text)
        if blamed:
            raise UserError(
                f"{path} holds more than weights: {blamed[1]}. Such files can run code when they are "
                "read, so this one is refused. Ask its author for .safetensors, or save its state_dict "
                "alone: torch.save(model.state_dict(), FILE)."
            ) from error
        reason = text.partition("WeightsUnpickler error:")[2] or text or type(error).__name__
        raise _damaged(path, reason.strip().splitlines()[0][:200]) from error
    containers = {}
    _collect(content, "", containers, depth=0)
    return containers


def _collect(node, where, containers, depth):
    """The dicts of tensors inside a nested one, by the keys that lead to them."""
    if not isinstance(node, dict) or depth > 4:
        return
    found = {}
    for key, value in node.items():
        if isinstance(key, str) and hasattr(value, "detach") and hasattr(value, "shape"):
            found[key] = Tensor(value.shape, lambda value=value: value.detach().float().numpy())
        elif isinstance(value, dict):
            inner = f"{where}.{key}" if where else str(key)
            _collect(value, inner, containers, depth + 1)
    if found:
        containers[where] = found


def _damaged(path, why):
    return UserError(f"{path} is damaged, or no file of weights: {why}. Fetch it again.")

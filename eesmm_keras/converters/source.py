"""Where weights come from: a file, a folder as the Hugging Face hub has it, or `hf://OWNER/NAME`."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from eesmm_keras.converters.reading import PICKLES, SUFFIXES, read_file
from eesmm_keras.errors import UserError
from eesmm_keras.names import parse_yaml

HUB = "hf://"
_LARGEST_TEXT = 2**24
# Where keras-hub keeps what its task puts on the backbone.
_HEAD = "task.weights.h5"
# What a folder may hold, the first that is there.
_WHOLE = (
    "model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "model.weights.h5",
)  # fmt: skip
_SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


@dataclass
class Source:
    """What was found at a place.

    Attributes:
        where: the place as the user named it.
        containers: `{container: {name: Tensor}}`, see `reading.read_file`.
        config: of `config.json`, or empty.
        preprocessor: of `preprocessor_config.json`, or empty.
        licence: as the source states it; None: it does not.
    """

    where: str
    containers: dict
    config: dict = field(default_factory=dict)
    preprocessor: dict = field(default_factory=dict)
    licence: str | None = None


def is_foreign(where):
    """Whether a place is for the converters, and not a run or `.keras` file of this package."""
    where = str(where)
    if where.startswith(HUB):
        return True
    path = Path(where)
    if path.is_dir():
        if (path / "model.keras").is_file() or (path / "config.yaml").is_file():
            return False
        return (path / "config.json").is_file() or _weights_in(path) is not None
    return path.suffix in SUFFIXES


def open_source(where):
    """`Source` of a place.

    Args:
        where: a file (`.safetensors`, `.npz`, `.bin`, `.pth`, `.pt`, `.ckpt`); a folder with
            `config.json` and weights, whole or in shards; or `hf://OWNER/NAME`, with `@REVISION` behind
            it if need be.

    Raises:
        UserError: nothing there, or it cannot be read.
    """
    where = str(where)
    path = _from_hub(where) if where.startswith(HUB) else Path(where)
    try:
        if path.is_dir():
            return _open_folder(where, path)
        if not path.is_file():
            raise UserError(f"{where} does not exist.")
        return Source(where, read_file(path))
    except OSError as error:
        raise UserError(f"{where} cannot be read: {error.strerror or error}.") from error


def _open_folder(where, path):
    found = _weights_in(path)
    if found is None:
        raise UserError(
            f"{where} holds no weights: none of {', '.join((*_WHOLE, *_SHARDED))} is there, nor one "
            "single file of weights."
        )
    containers = _read_shards(found) if found.name.endswith(".index.json") else read_file(found)
    if (path / _HEAD).is_file():
        containers[""].update(read_file(path / _HEAD)[""])
    config = _read_json(path / "config.json")
    preprocessor = _read_json(path / "preprocessor_config.json")
    if isinstance(config.get("config"), dict):  # keras-hub's
        config = config["config"]
        converter = _read_json(path / "preprocessor.json").get("config", {}).get("image_converter")
        preprocessor = {"image_converter": converter} if converter else {}
        config = {**_head_of(_read_json(path / "task.json").get("config", {})), **config}
    licence = _licence(path / "README.md", config)
    return Source(where, containers, config, preprocessor, licence)


def _head_of(task):
    """What keras-hub's configuration of a task says of its head."""
    return {name: task[name] for name in ("pooling", "intermediate_dim") if name in task}


def _weights_in(path):
    """The file of weights (or the index of its shards) in a folder, or None."""
    for name in (*_WHOLE, *_SHARDED):
        if (path / name).is_file():
            return path / name
    files = [entry for entry in path.iterdir() if entry.suffix in SUFFIXES and entry.is_file()]
    files = [entry for entry in files if entry.suffix not in PICKLES] or files
    return files[0] if len(files) == 1 else None


def _read_shards(index):
    names = _read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise UserError(f"{index} names no shards.")
    tensors = {}
    for name in sorted(set(names.values())):
        if Path(name).name != name:
            raise UserError(f"{index} leads out of its folder: {name!r}. It is refused.")
        shard = index.parent / name
        if not shard.is_file():
            raise UserError(f"{shard} is missing: {index.name} names it. Fetch it again.")
        for inner in read_file(shard).values():
            tensors.update(inner)
    missing = sorted(names.keys() - tensors.keys())
    if missing:
        raise UserError(f"{index.parent} is not complete: {missing[0]} is in no shard.")
    return {"": tensors}


def _read_json(path):
    if not path.is_file():
        return {}
    if path.stat().st_size > _LARGEST_TEXT:
        raise UserError(f"{path} is too large for what it should be.")
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {str(error)[:200]}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a JSON object.")
    return content


def _licence(card, config):
    """Licence that a model card's front matter or timm's configuration states, or None."""
    stated = config.get("pretrained_cfg", config)
    stated = stated.get("license") if isinstance(stated, dict) else None
    if not stated and card.is_file() and card.stat().st_size < _LARGEST_TEXT:
        text = card.read_text("utf-8", errors="replace")
        front = re.match(r"---\s*\n(.*?)\n---", text, re.S)
        if front:
            content = parse_yaml(front[1], f"The front matter of {card}")
            stated = content.get("license") if isinstance(content, dict) else None
    return stated if isinstance(stated, str) else None


def _from_hub(where):
    """Folder of a snapshot from the Hugging Face hub."""
    name, _, revision = where.removeprefix(HUB).partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise UserError(f"{where} is no name on the hub. Expected hf://OWNER/NAME.")
    by_hand = (
        "Fetch config.json, model.safetensors, preprocessor_config.json and README.md by hand from "
        f"https://huggingface.co/{name}/tree/{revision or 'main'} into one folder, and give that "
        f"folder in the place of {where}."
    )
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            f"{where} needs huggingface_hub: pip install 'eesmm-keras[hub]'. Or: {by_hand}"
        ) from error
    patterns = ["*.json", "README.md"]
    fetch = {"repo_id": name, "revision": revision or None}
    try:
        folder = huggingface_hub.snapshot_download(
            **fetch, allow_patterns=[*patterns, "model*.safetensors"]
        )
        if _weights_in(Path(folder)) is None:
            folder = huggingface_hub.snapshot_download(
                **fetch, allow_patterns=[*patterns, "pytorch_model*.bin"]
            )
    except Exception as error:  # of the network, the hub, the disk: all mean the same here.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{where} cannot be fetched: {reason[0][:200]} {by_hand}") from error
    return Path(folder)

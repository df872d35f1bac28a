"""An export to the Hugging Face hub: its files, its model card and its parity, in one commit."""

import json
import re
from pathlib import Path

from eesmm_keras.converters.source import HUB
from eesmm_keras.errors import UserError
from eesmm_keras.exports.card import card_path

_NAME = r"[\w.-]+/[\w.-]+"


def push_export(export, where, private=False, say=print, api=None):
    """Upload an export to a repository on the hub, which is made if it is not there.

    Args:
        export: path of a file or folder that `eesmm export` wrote.
        where: "hf://OWNER/NAME".
        private: whether a repository that is made is private.
        say: takes lines for the screen.
        api: a `huggingface_hub.HfApi`; None: of the user's own login.

    Returns:
        The address of the repository.

    Raises:
        UserError: no export, no such name, `huggingface_hub` is missing, or the hub cannot be reached
            or refuses. The hub takes all files or none.
    """
    name = str(where).removeprefix(HUB)
    if not str(where).startswith(HUB) or not re.fullmatch(_NAME, name):
        raise UserError(f"Expected hf://OWNER/NAME, got {where}.")
    files = files_of(export)
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            "eesmm push needs huggingface_hub: pip install 'eesmm-keras[hub]'."
        ) from error
    if _says_unknown(files):
        say(
            "The model card says `license: unknown`: who publishes a model says under which licence."
        )
    operations = [
        huggingface_hub.CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)
        for path, content in files.items()
    ]
    try:
        api = api or huggingface_hub.HfApi()
        address = api.create_repo(name, private=private, exist_ok=True)
        api.create_commit(name, operations, commit_message=f"{Path(export).name}, by eesmm push")
    except Exception as error:  # of the network, the hub, the login: all mean the same here.
        reason = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UserError(
            f"{where} was not written: {(reason or [type(error).__name__])[0][:300]} The export is "
            "untouched. `hf auth login` (or HF_TOKEN) logs in; without a network, upload the files by "
            f"hand: {', '.join(list(files)[:6])}."
        ) from error
    return str(address)


def files_of(export):
    """{path in the repository: path here, or bytes} of an export.

    Raises:
        UserError: it is not there, or no export that was compared with Keras.
    """
    export = Path(export)
    if not export.exists():
        raise UserError(f"{export} does not exist. Give a file or folder that eesmm export wrote.")
    folder = export.is_dir()
    parity = (export if folder else export.parent) / "parity.json"
    try:
        entries = json.loads(parity.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        entries = {}
    if not isinstance(entries, dict) or not (entries if folder else export.name in entries):
        raise UserError(
            f"{export} is no export that was compared with Keras: {parity} does not name it. "
            "eesmm export writes one."
        )
    if folder:
        found = sorted(path for path in export.rglob("*") if path.is_file())
        return {path.relative_to(export).as_posix(): str(path) for path in found}
    files = {export.name: str(export)}
    if card_path(export).is_file():
        files["README.md"] = str(card_path(export))
    entry = {export.name: entries[export.name]}
    files["parity.json"] = (json.dumps(entry, indent=2) + "\n").encode()
    return files


def _says_unknown(files):
    card = files.get("README.md")
    return card is None or "\nlicense: unknown\n" in Path(card).read_text("utf-8", errors="replace")

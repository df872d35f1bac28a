"""Files that hold the state of a run, read with suspicion."""

import re
import stat
from pathlib import Path

from eesmm_keras.errors import UserError

_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def check_kind(path, advice, folder=False):
    """Refuse what is not the file or folder that should be here; nothing here is good too.

    Args:
        path: `pathlib.Path`. advice: what to do, a sentence for the message.
        folder: whether a folder should be here, and not a file.

    Returns:
        bool: whether it is here.

    Raises:
        UserError: something else is here. A pipe would otherwise keep its reader waiting for ever.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise UserError(f"{path} is a link to nothing. {advice}") from None
        return False
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. {advice}") from error
    if stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode):
        return True
    found = _KINDS.get(stat.S_IFMT(mode), "a file")
    raise UserError(f"{path} is {found}, but must be a {'folder' if folder else 'file'}. {advice}")


def read_text(path, advice, limit=2**26):
    """Text of a small file of a run.

    Args:
        path: of a file that is there. advice: what to do, a sentence for the message.
        limit: bytes; a longer file is refused.

    Raises:
        UserError: no file, not UTF-8, too long, or the system cannot read it.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. {advice}") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is damaged: byte {error.start} is no UTF-8 text. {advice}"
        ) from error
    if len(data) > limit:
        raise UserError(f"{path} is damaged: it has more than {limit} bytes. {advice}")
    return text


def checkpoint_name(step):
    """Name of the file of a checkpoint."""
    return f"step_{step:09d}.npz"


def step_of(path):
    """Number of the step that a checkpoint's name says; None where it is no checkpoint's name."""
    name = re.fullmatch(r"step_(\d+)\.npz", Path(path).name)
    return int(name[1]) if name else None

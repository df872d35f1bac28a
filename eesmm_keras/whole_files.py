"""Files that are written whole or not at all."""

import os


def write_atomically(path, write):
    """Make a file that is complete or not there: `write(file)` fills it, opened for bytes."""
    partial = path.with_name(f"partial-{path.name}")
    try:
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except BaseException:
        remove_file(partial)
        raise


def remove_file(path):
    """Remove a file if that is possible; it is not worth a message where it is not."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _sync_folder(folder):
    """Make the disk remember a renaming."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

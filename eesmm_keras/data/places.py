"""Where prepared data lie: a folder, or an address of object storage that fsspec knows."""

import contextlib
import os
import re
import tempfile
from pathlib import Path

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.extents import read_extent
from eesmm_keras.names import shortened
from eesmm_keras.whole_files import write_atomically


def is_address(spec):
    """Whether a text is an address (`s3://bucket/shards`), and not a path."""
    return isinstance(spec, str) and re.match(r"[a-z][a-z0-9+.-]*://", spec) is not None


def place_of(spec):
    """The `Folder` or the `Address` of a path or a text.

    Raises:
        DataError: an address that fsspec, or a library that it needs, does not know.
    """
    return Address(spec) if is_address(spec) else Folder(spec)


class Folder:
    """Files in a folder.

    Attributes: path: `Path`.
    """

    def __init__(self, path):
        self.path = Path(path)

    def __str__(self):
        return str(self.path)

    def file(self, name):
        """A file's path, as text."""
        return os.path.join(self.path, name)

    def size(self, name):
        """Bytes of a file, or None: there is none."""
        path = self.path / name
        return path.stat().st_size if path.is_file() else None

    def read(self, name):
        """All bytes of a file, or None: there is none.

        Raises:
            DataError: it cannot be read.
        """
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DataError(f"{self.file(name)} cannot be read: {error.strerror}") from error

    def read_part(self, file, start, count):
        """`count` bytes of a `file(name)` from `start` on.

        Raises:
            DataError: they cannot be read, or it ends before.
        """
        return read_extent(file, start, count)

    def claim(self):
        """Make the folder; True: something is in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        return any(self.path.iterdir())

    def write(self, name, data):
        """Write a file, whole or not at all."""
        write_atomically(self.path / name, lambda file: file.write(data))

    @contextlib.contextmanager
    def under_way(self, name):
        """Path of a file that gets its name at the end of the block."""
        partial = self.path / f"partial-{name}"
        yield partial
        os.replace(partial, self.path / name)


class Address:
    """Objects below an address: `s3://`, `gs://`, `memory://` or whatever else fsspec reads.

    Reading a picture asks for its bytes alone. Credentials are those that the library of the storage
    finds by itself.

    Args:
        address: text.

    Raises:
        DataError: fsspec is not installed, or does not know it.
    """

    def __init__(self, address):
        self.address = address.rstrip("/")
        try:
            from fsspec.core import url_to_fs

            self._files, self._root = url_to_fs(self.address)
        except ImportError as error:
            raise DataError(
                f"{address} needs a library that is not installed ({error}): pip install "
                "'eesmm-keras[object-storage]'"
            ) from error
        except ValueError as error:
            raise DataError(
                f"{address} is no address that fsspec knows: {shortened(error)}"
            ) from error

    def __str__(self):
        return self.address

    def file(self, name):
        """An object's address."""
        return f"{self.address}/{name}"

    def size(self, name):
        """Bytes of an object, or None: there is none."""
        try:
            return int(self._do("info", f"{self._root}/{name}")["size"])
        except FileNotFoundError:
            return None

    def read(self, name):
        """All bytes of an object, or None: there is none.

        Raises:
            DataError: it cannot be read.
        """
        try:
            return self._do("cat_file", f"{self._root}/{name}")
        except FileNotFoundError:
            return None

    def read_part(self, file, start, count):
        """`count` bytes of a `file(name)` from `start` on.

        Raises:
            DataError: they cannot be read, or it ends before.
        """
        path = self._root + file[len(self.address) :]
        try:
            data = self._do("cat_file", path, start=start, end=start + count)
        except FileNotFoundError as error:
            raise DataError("cannot be read: it is not there any more") from error
        if len(data) < count:
            raise DataError("is cut short")
        return data

    def claim(self):
        """True: something is below the address."""
        try:
            return bool(self._do("ls", self._root, detail=False))
        except FileNotFoundError:
            return False

    def write(self, name, data):
        """Write an object, whole or not at all."""
        self._do("pipe_file", f"{self._root}/{name}", data)

    @contextlib.contextmanager
    def under_way(self, name):
        """Path of a local file that is uploaded at the end of the block."""
        with tempfile.TemporaryDirectory(prefix="eesmm-prepare-") as folder:
            partial = Path(folder) / name
            yield partial
            self._do("put_file", str(partial), f"{self._root}/{name}")

    def _do(self, what, *args, **options):
        try:
            return getattr(self._files, what)(*args, **options)
        except FileNotFoundError:
            raise
        except Exception as error:  # every storage's library has its own
            raise DataError(
                f"{self.address} does not answer as it should: {shortened(error)}"
            ) from error

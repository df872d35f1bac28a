"""Image file formats, found by file name; their contract is `data.file_format.FileFormat`."""

import os
from functools import cache

from eesmm_keras.registry import PLUGINS_VARIABLE, Family

# What Pillow has always opened here: it looks at the contents. Most images are such: asked first.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
_USUAL_STARTS = frozenset((b"\xff\xd8", b"\x89P", b"GI", b"BM", b"RI"))

FILES = Family(
    "files",
    kind="image file format",
    package="eesmm_keras.data.files",
    contract="eesmm_keras.data.file_format:FileFormat",
)


def known_formats():
    """`{suffix: FileFormat}` of all members."""
    return _formats(os.environ.get(PLUGINS_VARIABLE, ""))


@cache  # every image asks
def _formats(plugins):
    formats = [FILES.get(name)() for name in FILES.names()]
    return {suffix: form for form in formats for suffix in form.suffixes}


def format_of(item):
    """The `FileFormat` of a path (by its name) or of bytes (by how they begin), or None."""
    if isinstance(item, bytes):
        if item[:2] in _USUAL_STARTS:
            return None
        forms = known_formats().values()
        return next((form for form in forms if _begins(item, form)), None)
    _, dot, suffix = str(item).rpartition(".")
    suffix = f"{dot}{suffix.lower()}"
    return None if suffix in SUFFIXES else known_formats().get(suffix)


def _begins(data, form):
    return any(data[at : at + len(start)] == start for at, start in form.starts)

"""The examples of docs/extending.md, as plug-ins."""

import re
from pathlib import Path

_PAGE = Path(__file__).parent.parent / "docs" / "extending.md"


def example(name):
    """Text of an example: `sources/stripes.py`."""
    blocks = re.findall(r"```python\n# my_plugins/(\S+)\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    return dict(blocks)[name]


def install(name, folder, monkeypatch, text=None):
    """Write an example (or `text`) into a folder of plug-ins and have it searched."""
    path = Path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(example(name) if text is None else text)
    monkeypatch.setenv("EESMM_PLUGINS", str(folder))

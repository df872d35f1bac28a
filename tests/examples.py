"""The examples of docs/: those of extending.md as plug-ins, and programs that are complete."""

import re
from pathlib import Path

_PAGE = Path(__file__).parent.parent / "docs" / "extending.md"


def example(name):
    """Text of an example: `sources/stripes.py`."""
    blocks = re.findall(r"```python\n# my_plugins/(\S+)\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    return dict(blocks)[name]


def programs(page):
    """`{name: text}` of the Python blocks of a page whose first line is `# NAME.py`."""
    blocks = re.findall(
        r"```python\n# (\w+)\.py\n(.*?)```", (_PAGE.parent / page).read_text(), re.DOTALL
    )
    return dict(blocks)


def install(name, folder, monkeypatch, text=None):
    """Write an example (or `text`) into a folder of plug-ins and have it searched."""
    path = Path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(example(name) if text is None else text)
    monkeypatch.setenv("EESMM_PLUGINS", str(folder))

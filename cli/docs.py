from pathlib import Path

import click

import eesmm_keras
from eesmm_keras.errors import UserError
from eesmm_keras.names import unknown_name

# In a package that was built; in a checkout, where there is no such folder. Beside a built package
# another one's docs may lie.
_PLACES = ("pages", "../docs")
# It is made from docstrings when the site is built.
_EMPTY = ("api",)


def _pages():
    """Path of each page by its name, in the order of the alphabet."""
    home = Path(eesmm_keras.__file__).parent
    folder = next(home / place for place in _PLACES if (home / place).is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.md")) if path.stem not in _EMPTY}


def _title(path):
    """First heading."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.lstrip("# ") for line in lines if line.startswith("# ")), path.stem)


@click.command("docs")
@click.argument("page", required=False)
def command(page):
    """Read a PAGE of the documentation, in Markdown; without one, list them."""
    pages = _pages()
    if page is None:
        for name, path in pages.items():
            click.echo(f"{name:14} {_title(path)}")
        return
    name = page.removeprefix("docs/").removesuffix(".md")
    if name not in pages:
        raise UserError(unknown_name("page", page, list(pages)))
    click.echo_via_pager(pages[name].read_text(encoding="utf-8").rstrip("\n"))

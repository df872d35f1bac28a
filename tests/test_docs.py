"""README and docs: links resolve, commands parse, programs compile. Nothing of them is run here."""

import ast
import functools
import importlib
import importlib.util
import inspect
import json
import re
import shlex
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import click
import pytest
import yaml

import eesmm_keras
from eesmm_keras.cli.main import group
from eesmm_keras.errors import UserError

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))
_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
# Plug-ins that docs/extending.md defines itself: their names are known only to who installs them.
_EXAMPLES = ("class_number", "frozen", "grey", "mixer_tiny", "stripes:")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page):
    """`(language, text)` of every fenced block; of a notebook, of every code cell."""
    if page.suffix == ".ipynb":
        cells = json.loads(page.read_text())["cells"]
        return [("python", "".join(c["source"])) for c in cells if c["cell_type"] == "code"]
    return [(m[2].strip(), m[3]) for m in _FENCE.finditer(page.read_text())]


def prose(page):
    """The page without its fenced blocks and without code in backticks."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text()))


def anchors(page):
    """Anchors of a page's headings, as the site makes them."""
    seen, found = Counter(), set()
    for heading in re.findall(r"^#+ +(.*)$", _FENCE.sub("", page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        text = re.sub(r"[^\w\s-]", "", text).strip().lower()
        name = re.sub(r"[-\s]+", "-", text)
        found.add(f"{name}_{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def commands(text):
    """Arguments of every line that begins with `eesmm`, continued lines joined; also behind
    variables (`KERAS_BACKEND=jax eesmm`) and keywords of the shell."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        words = re.sub(r"^(\s*(until|srun|\w+=\S+|- )\s*)*", "", line).strip()
        if re.match(r"eesmm( |$)", words):
            words = re.sub(r";\s*do$", "", words)
            words = shlex.split(words.replace("$SLURM_JOB_ID", "1"), comments=True)
            yield words[1:]


@each_page
def test_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"(https?|mailto):", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{page.name}: {target} does not exist"
        if anchor:
            assert anchor in anchors(other), f"{page.name}: no heading for {target}"


@each_page
def test_commands_parse(page):
    for language, text in blocks(page):
        if language not in ("", "bash", "sh", "console"):
            continue
        for arguments in commands(text):
            if any(name in word for name in _EXAMPLES for word in arguments):
                continue
            parse(arguments)


@each_page
def test_commands_in_sentences_parse(page):
    """`eesmm NAME --option value` within a sentence; what it leaves out may be missing."""
    for text in re.findall(r"`([^`\n]+)`", _FENCE.sub("", page.read_text())):
        if text.startswith("--set ") and "=" in text:
            key = shlex.split(text)[1].partition("=")[0]
            assert key in {"key", *settable()}, f"{page.name}: {text}"
        if re.match(r"eesmm [a-z]+ -", text) and not re.search(r"\b[A-Z]{2,}\b", text):
            parse(shlex.split(text)[1:], whole=False)


def parse(arguments, whole=True):
    """What click does before it runs a command: options exist, values convert, none is missing."""
    if "..." in arguments:  # what stands for options in a sentence
        return
    try:
        # A context without callbacks of its own: --help and --version answer and end.
        outer = group.make_context("eesmm", list(arguments[:1]))
        name, command, _ = group.resolve_command(outer, list(arguments[:1]))
        options = command.make_context(name, list(arguments[1:]), parent=outer).params
        check_names(options)
    except click.exceptions.Exit:
        pass
    except (click.MissingParameter, click.BadOptionUsage):
        assert not whole, f"eesmm {shlex.join(arguments)}: an option or its value is missing"
    except (click.ClickException, UserError, AssertionError) as error:
        message = getattr(error, "message", error)
        pytest.fail(f"eesmm {shlex.join(arguments)}\n{message}")


def check_names(options):
    """Settings, presets, methods and recipes that a command names, which click does not look up."""
    from eesmm_keras import methods
    from eesmm_keras.backbones import all_presets
    from eesmm_keras.training.settings import recipe_names

    known = {
        "recipe": recipe_names(),
        "method": methods.names(),
        "methods": methods.names(),
        "backbone": all_presets(),
    }
    for option, names in known.items():
        values = options.get(option) or ()
        for value in [values] if isinstance(values, str) else values:
            assert value.partition(":")[0] in names, f"--{option} {value}"
    for assignment in options.get("assignments") or ():
        key = assignment.partition("=")[0]
        assert key in settable(), f"--set {assignment}"


@functools.cache
def settable():
    """Names that --set takes: settings, and arguments of methods."""
    from eesmm_keras import methods
    from eesmm_keras.training.settings.fields import FinetuneSettings, PretrainSettings

    arguments = (inspect.signature(methods.get(name)).parameters for name in methods.names())
    fields = (cls.model_fields for cls in (PretrainSettings, FinetuneSettings))
    return {name for names in (*arguments, *fields) for name in names}


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda page: page.name)
def test_programs_compile_and_import_what_exists(page):
    for language, text in blocks(page):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(text, str(page))):
            if not isinstance(node, ast.ImportFrom) or not node.module.startswith("eesmm_keras"):
                continue
            module = importlib.import_module(node.module)
            for alias in node.names:
                here = hasattr(module, alias.name)
                inner = f"{node.module}.{alias.name}"
                assert here or importlib.util.find_spec(inner), f"{page.name}: {inner}"


def _names(node):
    """The pages in a navigation."""
    if isinstance(node, str):
        return [node]
    values = node.values() if isinstance(node, dict) else node
    return [name for value in values for name in _names(value)]


def test_every_page_is_in_the_navigation():
    nav = _names(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").glob("**/*.md")]
    assert sorted(nav) == sorted(pages)


def test_notebooks_hold_the_outputs_of_one_run_in_order():
    for page in NOTEBOOKS:
        cells = [c for c in json.loads(page.read_text())["cells"] if c["cell_type"] == "code"]
        assert [c["execution_count"] for c in cells] == list(range(1, len(cells) + 1))
        assert not [o for c in cells for o in c["outputs"] if o["output_type"] == "error"]
        assert page.stat().st_size < 500_000


def test_every_public_name_is_in_the_reference():
    text = (ROOT / "docs" / "api.md").read_text()
    shown = set(re.findall(r"^::: [\w.]+\.(\w+)$", text, re.MULTILINE))
    assert shown == set(eesmm_keras.__all__) - {"__version__"}
    # With an example behind it, which test_docs_run runs.
    for name, after in re.findall(
        r"^::: [\w.]+\.(\w+)$(.*?)(?=^:::|\Z)", text, re.MULTILINE | re.DOTALL
    ):
        example = re.search(r"```python\n(.+?)```", after, re.DOTALL)
        assert example, name
        assert re.search(rf"\b{name}\b", example[1]), name


@pytest.mark.parametrize(
    "line",
    ["pretrain --data photos/ --nonsense 3", "export --weights a --format onxx --out b", "prtrain",
     "pretrain --data a --out b --set nonsense=1", "pretrain --data a --out b --recipe nonsense"],
)  # fmt: skip
def test_a_wrong_command_would_be_found(line):
    with pytest.raises(pytest.fail.Exception):
        parse(shlex.split(line))

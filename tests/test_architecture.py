"""The house's rules, without exceptions: imports, sizes, names, arguments."""

import ast
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

import eesmm_keras
from eesmm_keras import methods
from slow_tests import SLOW

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "eesmm_keras": "eesmm_keras",
    "cli": "eesmm_keras.cli",
    "exports": "eesmm_keras.exports",
}
# A room may import from the rooms before it; those of one rank do not know each other.
RANKS = [
    {"_version", "errors", "image_size", "recipes", "whole_files"},
    {
        "child_process",
        "few_kernels",
        "finite",
        "gpus",
        "names",
        "outline",
        "parallel",
        "progress",
        "quiet",
    }
    | {"device_waits", "fused_adam", "replica_step"},
    {"registry", "checks"},
    {"guarded_model", "partial_training"},
    {"ops"},
    {"layers", "evaluation"},
    {"converters"},
    {"backbones", "decoders"},
    {"methods", "tasks", "data"},
    {"pictures", "gallery", "saving"},
    {"training"},
    {"exports", "comparison", "studies", "answers"},
    {"reports", "reproductions"},
    {"cli"},
]
LONGEST_FILE, LONGEST_METHOD_FILE, LONGEST_FUNCTION = 300, 120, 50


def python_files():
    """All Python files of the repository, tests and benchmarks too."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split() or [str(p.relative_to(ROOT)) for p in ROOT.rglob("*.py")]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


@cache
def modules():
    """`{dotted name: path}` of the package, the command and the exports included."""
    found = {}
    for folder, package in PACKAGES.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((package, *parts))] = path
    return found


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path, top_level=False):
    """`(module, name or None)` of every import of this package in a file.

    Args:
        top_level: those alone that run when the file itself is imported.
    """
    nodes = ast.walk(tree(path)) if not top_level else iter(tree(path).body)
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("eesmm_keras"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole, None) if whole in modules() else (node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("eesmm_keras"):
                    yield alias.name, None


def room(module):
    """`eesmm_keras.data.index` -> `data`; the package itself -> ``."""
    return module.split(".")[1] if "." in module else ""


def rank(module):
    return next((i for i, rooms in enumerate(RANKS) if room(module) in rooms), None)


def test_every_room_has_a_rank():
    assert {room(module) for module in modules()} - {""} <= set().union(*RANKS)


def test_imports_go_one_way():
    wrong = [
        f"{module} imports {other}"
        for module, path in modules().items()
        for other, _ in imports(path)
        if room(module) and room(other) and room(module) != room(other)
        and rank(other) >= rank(module)
    ]  # fmt: skip
    assert not wrong


def test_no_two_files_import_each_other():
    graph = {
        module: {other for other, _ in imports(path, top_level=True)} - {module, "eesmm_keras"}
        for module, path in modules().items()
    }
    done, circles = set(), []

    def walk(module, way):
        if module in way:
            circles.append(" -> ".join([*way[way.index(module) :], module]))
        elif module not in done:
            for other in graph.get(module, ()):
                walk(other, [*way, module])
            done.add(module)

    for module in graph:
        walk(module, [])
    assert not circles


def test_private_names_stay_in_their_room():
    def private(module, name):
        parts = [*module.split(".")[2:], *([name] if name else [])]
        return any(part.startswith("_") and not part.startswith("__") for part in parts)

    wrong = [
        f"{module} imports {other} {name or ''}"
        for module, path in modules().items()
        for other, name in imports(path)
        if room(module) != room(other) and private(other, name)
    ]
    assert not wrong


def test_files_hold_one_idea():
    long = {
        str(path.relative_to(ROOT)): count
        for path in python_files()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_FILE
    }
    assert not long


@pytest.mark.parametrize("name", methods.names())
def test_a_method_can_be_read_at_once(name):
    path = Path(methods.__file__).with_name(f"{name}.py")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_METHOD_FILE


def test_functions_fit_a_screen():
    def lines(path, function):
        """Of code in the body: without signature, docstring, comments and blank lines."""
        first, *others = function.body
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and others:
            first = others[0]
        text = path.read_text(encoding="utf-8").splitlines()
        body = [line.strip() for line in text[first.lineno - 1 : function.end_lineno]]
        return sum(bool(line) and not line.startswith("#") for line in body)

    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name} {lines(path, node)}"
        for path in python_files()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef) and lines(path, node) > LONGEST_FUNCTION
    ]
    assert not long


@cache
def layer_names():
    """Names of the layer and decoder classes of the package."""
    return {
        node.name
        for module, path in modules().items()
        if room(module) in ("layers", "decoders")
        for node in tree(path).body
        if isinstance(node, ast.ClassDef) and {"Layer", "Masking"} & set(_last_names(node.bases))
    }


def _last_names(nodes):
    """`keras.layers.Layer` -> `Layer`."""
    return [ast.unparse(node).rpartition(".")[2] for node in nodes]


def test_layers_are_made_with_arguments_by_keyword():
    """One argument may stand without its name: `Dense(64)`, `Dropout(0.1)`."""

    def is_layer(function):
        if isinstance(function, ast.Attribute):
            return ast.unparse(function.value) in ("keras.layers", "layers")
        return isinstance(function, ast.Name) and function.id in layer_names()

    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node.func)}"
        for path in modules().values()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and is_layer(node.func) and len(node.args) > 1
    ]
    assert not wrong


def test_public_names_can_be_imported():
    for name in eesmm_keras.__all__:
        assert getattr(eesmm_keras, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = eesmm_keras.Nothing


def test_an_installed_package_has_every_folder():
    """A development install finds a folder that the list forgets; a wheel does not have it."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {
        ".".join([PACKAGES[file.parts[0]], *file.parts[1:-1]])
        for file in (path.relative_to(ROOT) for path in python_files())
        if file.parts[0] in PACKAGES
    }
    # They hold no Python: the pages of `eesmm docs`, and tables.
    others = ("eesmm_keras.pages", "eesmm_keras.reproductions.published")
    assert sorted(listed) == sorted([*there, *others])


def test_a_container_is_built_from_all_that_the_package_is_made_of():
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {
        "pyproject.toml", "eesmm_keras", described["project"]["readme"],
        *described["project"]["license-files"],
        *described["tool"]["setuptools"]["package-dir"].values(),
    }  # fmt: skip
    copies = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert needed == set(" ".join(copies).split())
    # `!docs/*.md` lets some of a folder through.
    allowed = re.findall(r"^!([^/\n]+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert needed == set(allowed)


def test_tests_that_are_left_out_are_there():
    for entry in SLOW:
        module, _, name = entry["test"].partition("::")
        text = (ROOT / "tests" / f"test_{module}.py").read_text()
        assert f"def test_{name}(" in text, entry["test"]
        assert entry.keys() <= {"test", "why", "quick", "slow", "backends"}, entry

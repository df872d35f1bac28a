"""The house's rules: one-way imports, methods found by file name, public names."""

import ast
from pathlib import Path

import pytest

import eesmm_keras
from eesmm_keras import methods

ROOT = Path(__file__).parent.parent
# A part may import from the parts before it (those of one rank do not know each other).
RANKS = [
    {"_version", "errors"},
    {"child_process", "names", "progress", "quiet"},
    {"registry", "checks"},
    {"parallel", "guarded_model"},
    {"ops"},
    {"layers"},
    {"converters"},
    {"backbones", "decoders"},
    {"methods", "tasks", "data"},
    {"pictures", "saving", "evaluation"},
    {"training"},
    {"exports", "comparison", "studies"},
    {"cli"},
]
# `load_model` must register every public class, the optimizer too.
EXCEPTIONS = {("saving", "training")}


def rank(part):
    return next(i for i, parts in enumerate(RANKS) if part in parts)


def files():
    for folder, prefix in ((ROOT / "eesmm_keras", ()), (ROOT / "cli", ("cli",)),
                           (ROOT / "exports", ("exports",))):  # fmt: skip
        for path in folder.rglob("*.py"):
            parts = (*prefix, *path.relative_to(folder).with_suffix("").parts)
            if parts != ("__init__",):
                yield path, parts[0]


def imported_parts(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "eesmm_keras":
                names = [f"eesmm_keras.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("eesmm_keras."):
                yield name.split(".")[1]


@pytest.mark.parametrize(("path", "part"), list(files()), ids=lambda x: getattr(x, "name", x))
def test_imports_go_one_way(path, part):
    for other in set(imported_parts(path)) - {part}:
        if (part, other) not in EXCEPTIONS:
            assert rank(other) < rank(part), f"{path.name} ({part}) imports {other}"


def test_public_names_can_be_imported():
    for name in eesmm_keras.__all__:
        assert getattr(eesmm_keras, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = eesmm_keras.Nothing


def test_methods_are_found_by_file_name():
    found = {path.stem for path in (ROOT / "eesmm_keras" / "methods").glob("[!_]*.py")} - {
        "hidden_pixels",
        "method",
    }
    assert set(methods.names()) == found
    for name in methods.names():
        assert issubclass(methods.get(name), eesmm_keras.MaskedImageModel)
    with pytest.raises(ValueError, match="Did you mean 'eesmm'"):
        methods.get("esmm")


def test_no_python_file_grows_beyond_one_idea():
    for path, _ in files():
        assert len(path.read_text().splitlines()) <= 350, path

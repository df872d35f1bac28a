"""What a module's class takes, read from its text: importing a method or an encoder imports Keras."""

import ast
import contextlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outline:
    """The one public class of a file.

    Attributes:
        arguments: names of its constructor's arguments, without `**kwargs`.
        values: dict of its attributes that are plain values.
    """

    arguments: tuple
    values: dict


def outline_of(path):
    """`Outline` of a file; None where its text does not tell: no Python, no or several classes, or a
    constructor that is another class's."""
    try:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    if len(classes) != 1:
        return None
    for node in classes[0].body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            return Outline(tuple(a.arg for a in every), _values(classes[0].body))
    return None


def _values(body):
    found = {}
    for node in body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", ())
        with contextlib.suppress(ValueError, TypeError):
            found.update(
                {t.id: ast.literal_eval(node.value) for t in targets if isinstance(t, ast.Name)}
            )
    return found

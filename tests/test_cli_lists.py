"""Help, lists and recipes: what the command says without training anything."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from eesmm_keras.cli import main as cli
from eesmm_keras.errors import UserError


def eesmm(*args):
    """Output of a command that must succeed."""
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


def test_help_needs_no_backend():
    code = (
        "import sys; from eesmm_keras.cli import main; from click.testing import CliRunner;"
        "r = CliRunner().invoke(main.group, ['--help']); assert 'pretrain' in r.output;"
        "r = CliRunner().invoke(main.group, ['pretrain', '--help']); assert '--gpus' in r.output;"
        "heavy = {'keras', 'tensorflow', 'numpy'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_list():
    assert "swin_mini_32" in eesmm("list", "backbones")
    assert "eesmm " in eesmm("list", "methods")
    assert "digits_pretrain" in eesmm("list", "recipes")


def test_pages_of_the_documentation_are_listed_and_read():
    listed = eesmm("docs").splitlines()
    assert "finetuning     Fine-tuning" in listed
    page = (Path(__file__).parent.parent / "docs" / "finetuning.md").read_text()
    assert eesmm("docs", "finetuning") == page
    assert eesmm("docs", "docs/finetuning.md") == page
    with pytest.raises(UserError, match="Did you mean 'finetuning'"):
        eesmm("docs", "finetunning")


def test_what_messages_name_is_a_page():
    root = Path(__file__).parent.parent
    known = {line.split()[0] for line in eesmm("docs").splitlines()}
    found = set()
    for folder in ("cli", "eesmm_keras", "exports"):
        for path in (root / folder).rglob("*.py"):
            found.update(re.findall(r"eesmm docs (\w+)", path.read_text()))
    assert len(found) > 5
    assert found <= known


def test_every_recipe_resolves():
    from eesmm_keras.training.settings import read_recipe, recipe_names, resolve

    for name in recipe_names():
        content, text = read_recipe(name)
        settings = resolve(content["task"], name)
        assert settings.epochs == content["epochs"]
        assert text.startswith("# ")
        assert f"eesmm {content['task']}" in text


def test_later_settings_win():
    from eesmm_keras.training.settings import resolve

    settings = resolve("pretrain", "digits_pretrain", ["decomposition=subtract", "epochs=3"],
                       {"epochs": 2})  # fmt: skip
    assert settings.method_args["decomposition"] == "subtract"
    assert settings.epochs == 2
    assert settings.learning_rate == pytest.approx(4e-3)
    whole = resolve("pretrain", "digits_pretrain", ["method_args={num_mixed: 3}"])
    assert whole.method_args["num_mixed"] == 3
    assert whole.method_args["decomposition"] == "split"
    with pytest.raises(UserError, match="Unknown setting 'method_args'"):
        resolve("pretrain", assignments=["method_args={method_args: 1}"])


def test_recipe_with_an_unknown_key(tmp_path):
    recipe = tmp_path / "mine.yaml"
    arguments = ["pretrain", "--data", "digits", "--out", tmp_path / "r", "--recipe", recipe]
    recipe.write_text("task: pretrain\nepoch: 3\n")
    with pytest.raises(UserError, match=r"Unknown setting 'epoch'\. Did you mean 'epochs'"):
        eesmm(*arguments)
    recipe.write_text("- 3")
    with pytest.raises(UserError, match="must be a mapping"):
        eesmm(*arguments)

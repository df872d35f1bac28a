"""What stands in README and docs runs: docs_runner.py tells with what, and what is left out."""

import os

import docs_runner
import pytest
import test_docs


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, before = tmp_path_factory.mktemp("made"), os.getcwd()
    os.chdir(folder)
    try:
        docs_runner.make_runs(folder)
    finally:
        os.chdir(before)
    return folder


# In minutes: all pages with `make test-docs`, and these in any case.
EVERY = os.environ.get("EESMM_ALL_DOCS")
ALWAYS = "README.md", "quickstart.ipynb", "api.md"
CHOSEN = [page for page in docs_runner.PAGES if EVERY or page in ALWAYS]


@pytest.mark.slow  # parsed, compiled and checked for names in test_docs
@pytest.mark.parametrize("page", CHOSEN)
def test_a_page_runs(page, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line, reason in docs_runner.run_page(page, tmp_path, made):
        print(f"{page}: not run: {line}  ({reason})")


def test_every_page_with_commands_or_programs_is_run_or_has_a_reason():
    pages = [*test_docs.PAGES, *test_docs.NOTEBOOKS]
    asked = [page.name for page in pages if docs_runner.has_something_to_run(page)]
    assert sorted(asked) == sorted([*docs_runner.PAGES, *docs_runner.NOT_RUN])


def test_what_a_page_shows_is_compared_and_a_command_that_fails_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert docs_runner.run_shell("eesmm list formats\nonnx") == []
    with pytest.raises(AssertionError, match="'onyx' is not in"):
        docs_runner.run_shell("eesmm list formats\nonyx")
    with pytest.raises(AssertionError, match="nothing/"):
        docs_runner.run_shell("eesmm evaluate --data nothing/ --weights nothing/")

"""`eesmm list` of families."""

import pytest
from click.testing import CliRunner

from eesmm_keras.cli import main as cli
from eesmm_keras.cli._families import FAMILIES, find_family
from examples import install


def listed(what):
    result = CliRunner().invoke(cli.group, ["list", what])
    assert result.exception is None, result.exception
    return result.output


@pytest.mark.parametrize("what", FAMILIES)
def test_every_member_is_listed_with_what_it_is(what):
    lines = listed(what).splitlines()
    assert [line.split()[0] for line in lines] == find_family(FAMILIES[what]).names()
    assert all(len(line.split()) > 1 for line in lines)


def test_a_plug_in_is_listed_too(tmp_path, monkeypatch):
    assert "stripes" not in listed("sources")
    install("sources/stripes.py", tmp_path, monkeypatch)
    assert "stripes                `--data stripes:COUNT`." in listed("sources")

"""Every source keeps its contract, a source of one's own is one file, and items may be lazy."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import TINY_SWIN
from eesmm_keras.cli import main as cli
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.formats import SOURCES
from eesmm_keras.data.image_source import Chosen, ImageSource
from eesmm_keras.data.sources import examine, open_source
from examples import example, install


@pytest.fixture
def stripes(tmp_path, monkeypatch):
    install("sources/stripes.py", tmp_path / "plugins", monkeypatch)


def eesmm(*args):
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


@pytest.mark.parametrize("name", SOURCES.names())
def test_every_source_can_be_asked_about_anything(name):
    source = SOURCES.get(name)()
    assert source.spelling
    for spec in ("no such thing", "", "a\0b", "x" * 5000, Path("no/such")):
        assert source.matches(spec) is False


def test_a_source_of_ones_own_feeds_the_commands(stripes, tmp_path):
    run = tmp_path / "run"
    text = eesmm("pretrain", "--data", "stripes:24", "--out", run, "--backbone", TINY_SWIN,
                 "--epochs", "1", "--batch-size", "8", "--set", "decoder_dim=32",
                 "--set", "decoder_num_heads=4", "--set", "mask_bank_size=4")  # fmt: skip
    assert "on 24 images of stripes:24" in text
    text = eesmm("evaluate", "--data", "stripes:24", "--weights", run, "--mode", "knn")
    assert "'test' is the validation images" in text
    assert re.search(r"accuracy.* [01]\.\d{4} on 4 images", text)


def test_a_source_of_ones_own_is_examined_by_parts(stripes):
    parts = examine("stripes:20")
    assert [(part.name, part.count, part.classes) for part in parts] == [
        ("train", 16, {"standing": 8, "lying": 8}),
        ("val", 4, {"standing": 2, "lying": 2}),
        ("test", 4, {"standing": 2, "lying": 2}),
    ]
    assert (parts[0].sides == 32).all()


def test_data_that_no_source_takes_are_told_with_what_there_is(stripes):
    with pytest.raises(DataError) as caught:
        open_source("strips:20")
    for known in (
        "no folder 'strips:20'",
        "digits",
        "a folder of images",
        "tfds:NAME",
        "stripes:COUNT",
    ):
        assert known in str(caught.value)


def test_two_sources_that_take_the_same_are_named(stripes, tmp_path):
    folder = tmp_path / "plugins" / "sources"
    (folder / "zebra.py").write_text(
        example("sources/stripes.py").replace("class Stripes", "class Zebra")
    )
    with pytest.raises(DataError, match="ambiguous: Stripes and Zebra"):
        open_source("stripes:20")


class Lazy:
    """Grey pictures of one value each; counts what is asked for."""

    def __init__(self, count):
        self.count, self.asked = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        self.asked.append(i)
        if i == 3:
            raise DataError("is lost")
        return np.full((4, 4), i, np.uint8)


def test_items_are_taken_only_when_they_are_asked_for():
    items = Lazy(10**9)
    source = ImageSource("lazy", items).take([5, 3, 10**6]).take([0, 2, 1])
    assert items.asked == []
    assert (len(source), source.load(0).mode, source.load(0).getpixel((1, 1))) == (
        3,
        "RGB",
        (5,) * 3,
    )
    assert items.asked == [5, 5]
    with pytest.raises(DataError, match="image 2 of 'lazy' is lost"):
        source.load(2)
    assert source.load_good(2)[1] == 0
    assert source.bad == [("image 2 of 'lazy'", "is lost")]


def test_choosing_twice_looks_up_once():
    chosen = Chosen(Chosen("abcdef", [5, 3, 1]), [2, 0])
    assert list(chosen) == ["b", "f"]
    assert chosen.items == "abcdef"

"""The index of a folder: what the cache remembers, and when it must not be believed."""

import os

import numpy as np
import pytest
from PIL import Image

from eesmm_keras.data import index as index_module
from eesmm_keras.data.index import MODES, build_index, cache_file
from eesmm_keras.data.paths import PathList, duplicate_names, scan


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Six good files and a truncated one; a cache of its own that small folders use too."""
    monkeypatch.setenv("EESMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(index_module, "_CACHED_FROM", 1)
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for k in range(6):
        mode = "RGB" if k % 2 else "L"
        Image.new(mode, (4 + k, 3)).save(folder / ("deep" if k < 3 else "") / f"{k}.png")
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:-100])
    return folder


def looked_at(folder, **options):
    """How many files were opened, and the index."""
    index = build_index(folder, **options)
    return len(index) - index.known, index


def test_an_index_holds_sides_modes_and_reasons(folder):
    _, index = looked_at(folder)
    assert list(index.paths.names()) == [
        "3.png", "4.png", "5.png", "cut.jpg", *(os.path.join("deep", f"{k}.png") for k in range(3))
    ]  # fmt: skip
    np.testing.assert_array_equal(index.sides[:3], [[7, 3], [8, 3], [9, 3]])
    assert [MODES[mode] for mode in index.modes[:3]] == ["RGB", "L", "RGB"]
    assert list(index.reasons) == [3]
    assert "truncated" in index.reasons[3]


def test_known_files_are_not_opened_again_and_changed_or_new_ones_are(folder):
    assert looked_at(folder)[0] == 7
    count, again = looked_at(folder)
    assert (count, list(again.reasons)) == (0, [3])
    np.testing.assert_array_equal(again.sides[:3], [[7, 3], [8, 3], [9, 3]])
    os.utime(folder / "3.png", ns=(1, 1))
    assert looked_at(folder)[0] == 1
    Image.new("RGB", (99, 3)).save(folder / "a-new.png")
    (folder / "4.png").unlink()
    count, changed = looked_at(folder)
    assert (count, len(changed)) == (1, 7)
    np.testing.assert_array_equal(changed.sides[:3], [[7, 3], [9, 3], [99, 3]])
    assert list(changed.reasons) == [3]
    assert looked_at(folder)[0] == 0


def test_the_limit_of_pixels_is_judged_anew(folder):
    assert len(looked_at(folder, max_pixels=24)[1].reasons) == 2
    count, index = looked_at(folder)
    assert (count, list(index.reasons)) == (2, [3])
    assert list(looked_at(folder, max_pixels=21)[1].reasons) == [3, 1, 2]


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "foreign", "pickle"])
def test_a_cache_that_is_broken_or_foreign_is_built_anew(damage, folder, tmp_path):
    looked_at(folder)
    file = cache_file(folder)
    whole = file.read_bytes()
    if damage == "foreign":
        other = tmp_path / "other"
        folder.rename(other)
        folder = other
        cache_file(other).write_bytes(whole)
    elif damage == "pickle":
        np.savez(file, about=np.array([{"version": 1}], object))
    else:
        noise = np.random.default_rng(0).bytes(len(whole))
        file.write_bytes({"cut": whole[:-200], "noise": noise, "empty": b""}[damage])
    count, index = looked_at(folder)
    assert (count, list(index.reasons)) == (7, [3])
    assert looked_at(folder)[0] == 0


def test_a_cache_folder_that_cannot_be_written_is_no_loss(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EESMM_CACHE", str(tmp_path / "file"))
    assert [looked_at(folder)[0] for _ in range(2)] == [7, 7]
    assert not [name for name in os.listdir(folder) if "npz" in name]


def test_the_cache_lies_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("EESMM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = cache_file("photos")
    assert file.parent == tmp_path / "eesmm-keras" / "index"
    assert file != cache_file("photos", follow_links=True)


def test_names_of_every_kind_survive_the_compact_list(tmp_path):
    names = ["a", "ünï", os.fsdecode(b"\xff\xfe"), "", "x" * 300]
    paths = PathList(tmp_path, names)
    assert list(paths.names()) == names
    assert (len(paths), paths[0]) == (5, str(tmp_path / "a"))


def test_the_order_is_that_of_the_paths_parts(tmp_path):
    for name in ("a/z.png", "a.b/c.png", "B.png", "a/b/c.PNG", "ä.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listed = [tmp_path / name for name in scan(tmp_path, (".png",)).paths.names()]
    assert listed == sorted(listed)
    assert len(listed) == 5


def test_duplicate_names_differ_in_case_or_suffix_within_one_folder():
    names = ["a/x.jpg", "a/X.PNG", "b/x.jpg", "c.jpg", "C.jpg", "cc.jpg"]
    groups = duplicate_names(PathList("root", names))
    assert sorted(map(sorted, groups)) == [["C.jpg", "c.jpg"], ["a/X.PNG", "a/x.jpg"]]

"""Children that answer, fail, break down, talk too much or fill the memory."""

import pytest

from eesmm_keras import child_process
from eesmm_keras.child_process import Child, ChildFailed, ask
from eesmm_keras.errors import UserError

CHILD = """
import os
import sys

from eesmm_keras.child_process import serve
from eesmm_keras.errors import UserError


def count(spec):
    for number in range(spec["from"], spec["to"]):
        yield {"number": number}


def handler(spec):
    print("noise on the standard output")
    os.write(1, b"and below Python\\n")
    if "from" in spec:
        return count(spec)
    if "wrong" in spec:
        raise UserError(f"{spec['wrong']} is wrong")
    if "crash" in spec:
        raise KeyError(spec["crash"])
    if "sleep" in spec:
        import time

        time.sleep(60)
    return {"echo": spec, "place": os.environ.get("PLACE")}


if __name__ == "__main__":
    serve(handler)
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    (tmp_path / "a_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "a_child"


def test_an_answer_comes_back_whatever_is_printed(child):
    spec = {"text": "ü" * 100_000, "none": None, "list": [1, 2.5]}
    assert ask(child, spec, {"PLACE": "here"}) == {"echo": spec, "place": "here"}


def test_a_child_answers_as_often_as_it_is_asked(child):
    with Child(child, {"from": 3, "to": 5}) as process:
        assert [process.ask()["number"] for _ in range(2)] == [3, 4]
        assert process.alive
        with pytest.raises(ChildFailed, match="it ended with status 0"):
            process.ask()
    assert not process.alive


def test_what_is_wrong_for_the_user_is_told_word_by_word(child):
    with pytest.raises(UserError, match=r"^the hat is wrong$") as caught:
        ask(child, {"wrong": "the hat"})
    assert not isinstance(caught.value, ChildFailed)


def test_a_breakdown_tells_its_status_and_last_words(child):
    with pytest.raises(ChildFailed, match=r"^it ended with status 1: KeyError: 'boom'$") as caught:
        ask(child, {"crash": "boom"})
    assert "a_child.py" in caught.value.log
    with pytest.raises(ChildFailed, match="No module named"):
        ask("there_is_no_such_child", {})


def test_a_child_is_stopped_before_it_fills_the_memory(child, monkeypatch):
    monkeypatch.setattr(child_process, "free_memory", lambda: (5, 100))
    with pytest.raises(ChildFailed, match="too much of the memory"):
        ask(child, {"sleep": True}, keep_free=0.1)


def test_the_machines_memory_is_read():
    available, total = child_process.free_memory()
    assert 2**20 < available <= total

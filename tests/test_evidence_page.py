"""The tables of docs/evidence.md are those of the cells in docs/evidence/."""

import re
import sys
from pathlib import Path

_ROOT = Path(__file__).parent.parent


def test_tables_are_those_of_the_cells(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(_ROOT / "benchmarks"), *sys.path])
    monkeypatch.setenv("EESMM_PLUGINS", str(_ROOT / "benchmarks" / "candidates"))
    import study

    page = (_ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    found = list(study.studies(study.CELLS, study.FIRST))
    for title, rows in found:
        assert rows
        assert f"<!-- study: {title} -->" in page
    # `python benchmarks/study.py --write docs/evidence.md` makes them anew.
    assert study.with_tables(page, found) == page
    row = "| eesmm, rate 0.008 | gmacs=800 | 3 |"
    assert study.with_tables(page.replace(row, row.replace("3", "4")), found) == page
    # What starts from another run is compared with whole runs, though its own budget is smaller.
    lines = [line for line in page.splitlines() if re.match(r"\| eesmm, .*init_from=", line)]
    assert lines
    assert all(re.search(r"\d, [+-]\d", line) for line in lines)

"""Published tables run again: what they name exists, and published figures stay apart from ours."""

import pytest
from click.testing import CliRunner

from eesmm_keras.cli import main as cli
from eesmm_keras.comparison import specs
from eesmm_keras.comparison.table import summary
from eesmm_keras.errors import UserError
from eesmm_keras.reproductions import full, proxy
from eesmm_keras.reproductions.tables import read_table, table_names
from eesmm_keras.training.settings import resolve


@pytest.mark.parametrize("name", table_names())
def test_every_table_names_methods_recipes_and_budgets_that_exist(name):
    table = read_table(name)
    assert specs.parse_budgets(table.budget)
    specs.parse_labels(table.labels)
    assert table.methods()
    common = {
        "data": {}, "backbone": table.backbone, "image_size": None, "batch_size": table.batch_size,
        "limit": None, "probe_limit": None, "labels": "", "pretrain": table.settings, "finetune": {},
    }  # fmt: skip
    for method, row in table.methods().items():
        settings = specs.settings_of(common, method, ("images", 9.0), 0)
        assert settings["method"] == row.method.partition(":")[0]
    for row in table.rows:
        assert len(row.published) == len(table.columns)
        assert (row.recipe is None) == (row.finetune is None)
        if row.recipe:
            assert resolve("pretrain", row.recipe).method
            assert resolve("finetune", row.finetune).epochs


def rows_for(table):
    def cells(value):
        return {s: {"linear": value + s / 100, "images_seen": 9, "gmacs": 2.0} for s in range(2)}

    values = dict(zip(["none", *table.methods()], (0.1, 0.3, 0.5, 0.4, 0.2), strict=False))
    first = cells(values[next(iter(table.methods()))])
    return [
        summary(name, "" if name == "none" else table.budget, cells(value), first)
        for name, value in values.items()
    ]


def test_the_proxy_is_a_comparison_with_the_published_figures_beside(tmp_path, monkeypatch):
    table, asked = read_table("eesmm_figure4_mask_ratio"), {}

    def compare(out, data, methods, backbone, budget, **options):
        asked.update(options, methods=methods, backbone=backbone, budget=budget)
        return rows_for(table)

    monkeypatch.setattr(proxy, "compare", compare)
    text = proxy.reproduce("eesmm_figure4_mask_ratio", "images/", tmp_path, "images=9", "0,1")
    assert asked["methods"] == [
        f"eesmm:mask_ratio={ratio}:decoder_dim=64:decoder_num_heads=4"
        for ratio in (0.5, 0.6, 0.7, 0.8)
    ]
    assert (asked["budget"], asked["seeds"]) == ("images=9", "0,1")
    assert text == (tmp_path / "table.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| 50 %")]
    assert len(lines) == 1
    assert "| 82.5 | eesmm:mask_ratio=0.5:" in lines[0]
    assert "30.5 ± 0.7" in lines[0]
    assert "top-1 (published)" in text
    assert "random weights" in text


def test_a_row_without_a_method_here_keeps_its_published_cells(tmp_path):
    table = read_table("eesmm_table1")
    text = proxy.markdown(table, rows_for(table))
    (line,) = [line for line in text.splitlines() if line.startswith("| BEiT")]
    assert [cell.strip() for cell in line.split("|")[2:7]] == ["ViT-B", "800", "", "83.2", "-"]


def test_full_hours_are_the_counted_products(monkeypatch):
    class Method:
        def macs(self):
            return 1e9

    from eesmm_keras.training import pretraining

    monkeypatch.setattr(pretraining, "build_backbone", lambda *args: None)
    monkeypatch.setattr(pretraining, "build_method", lambda *args: Method())
    lines = list(full.commands("eesmm_figure3", "image net/", "runs", images=10**6, teraflops=100))
    told = [line for line in lines if line.startswith("# pre-training")]
    # 2 * 3 * 1e9 operations * 1e6 images * 800 epochs at 1e14 a second: 48,000 s.
    assert told[-1].endswith("800 epochs: 13 h on 1, 3 h on 4, 2 h on 8 GPU(s)")
    assert "eesmm pretrain --data 'image net/' --recipe eesmm_swin_base_224" in "\n".join(lines)


def test_an_unknown_table_is_told_with_those_that_there_are(tmp_path):
    with pytest.raises(UserError, match="eesmm_table1"):
        read_table("eesmm_table9")
    listed = CliRunner().invoke(cli.group, ["list", "tables"]).output
    assert "eesmm_figure4_decoder" in listed

"""The throughput benchmark: operation counts, cases, ratios, one real run."""

import csv
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from conftest import TINY_SWIN, tiny_backbone
from eesmm_keras import EESMM, GreenMIM, SimMIM, SwinBackbone
from eesmm_keras.errors import UserError
from eesmm_keras.studies.benchmark import throughput
from eesmm_keras.studies.benchmark.cases import Case, make_cases
from eesmm_keras.studies.benchmark.table import COLUMNS, rows


def test_macs_of_swin_follow_the_papers_formula():
    """Liu et al. (2021), Eq. 2: `4hwC^2 + 2M^2hwC` for window attention, and `8hwC^2` for the MLP.

    Shifted windows allow fewer pairs than full ones, so the count is a little lower.
    """
    backbone = SwinBackbone.from_preset("swin_tiny")
    total = 56 * 56 * 48 * 96
    for stage, depth in enumerate((2, 2, 6, 2)):
        tokens, dim = (56 // 2**stage) ** 2, 96 * 2**stage
        total += depth * (12 * tokens * dim**2 + 2 * 49 * tokens * dim)
        if stage < 3:
            total += tokens // 4 * 4 * dim * 2 * dim
    assert 0.97 * total < backbone.macs() < total
    everything = np.arange(49)
    assert backbone.macs(everything) == backbone.macs()


def test_a_quarter_of_the_units_costs_less_than_a_quarter():
    backbone = tiny_backbone(window_size=4)
    part, whole = backbone.macs(np.arange(0, 64, 4)), backbone.macs()
    assert 0.15 * whole < part < 0.25 * whole


def test_more_images_a_mix_divide_the_cost():
    small = {"decoder_dim": 32, "decoder_num_heads": 4, "mask_bank_size": 4, "seed": 0}
    backbone = tiny_backbone()
    one = GreenMIM(backbone, **small).macs()
    for n in (2, 3, 4):
        assert EESMM(backbone, num_mixed=n, **small).macs() == pytest.approx(one / n)
    assert SimMIM(backbone, seed=0).macs() > 1.5 * one


def test_cases_and_their_errors():
    cases = make_cases(("eesmm:num_mixed=3",), ("tensorflow",), "both", peer=None)
    assert [(case.method, case.arguments, case.jit) for case in cases] == [
        ("eesmm", {"num_mixed": 3}, False),
        ("eesmm", {"num_mixed": 3}, True),
    ]
    with pytest.raises(UserError, match="Did you mean 'simmim'"):
        make_cases(("simim",), ("tensorflow",), "off", peer=None)
    with pytest.raises(UserError, match="Unknown backend"):
        make_cases(("simmim",), ("tensorflo",), "off", peer=None)
    with pytest.raises(UserError, match=r"no file 'x\.py'"):
        make_cases(("simmim",), ("tensorflow",), "off", peer="x.py")
    with pytest.raises(UserError, match="Unknown backbone"):
        throughput.benchmark("x", backbone="nothing")


def test_ratios_are_against_the_fastest_dense_case():
    def case(name, framework, ratios, macs):
        return Case(name, framework, False, ratios=ratios, macs=macs)

    anchor = case("simmim", "tensorflow", [1.0], 8e9)
    anchor.seconds = [4.0, 4.0, 9.0]
    cases = [
        anchor,
        case("simmim", "jax", [2.0, 2.0, 1.0], 8e9),
        case("eesmm", "tensorflow", [6.0, 6.0, 50.0], 2e9),
        case("peer", "simmim_pytorch", [0.5], None),
    ]
    table = {(row["name"], row["framework"]): row for row in rows(cases, anchor, 16)}
    row = table["eesmm", "tensorflow"]
    assert row["images_per_s"] == 24.0  # 16 images in 4 s, six times as fast
    assert row["ratio_to_fastest_dense"] == 3.0
    assert row["flop_bound"] == 4.0
    assert row["flop_bound_share"] == 0.75
    assert table["peer", "simmim_pytorch"]["ratio_to_fastest_dense"] == 0.25


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="the benchmark starts its own processes: what runs here does not depend on the backend",
)
def test_a_real_run_with_a_peer_that_stands_outside_and_fails_once(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(
        throughput, "make_cases", lambda *args: [*make_cases(*args), Case("peer", "other", True)]
    )
    (tmp_path / "other.py").write_text(
        "def make_step(spec, images):\n"
        "    assert images.shape == (4, 32, 32, 3) and spec['encoder']['embed_dim'] == 16\n"
        "    if spec['jit']:\n"
        "        raise ValueError('no compiler')\n"
        "    return images.sum\n"
    )
    throughput.benchmark(
        tmp_path, TINY_SWIN, 4, 1, ("eesmm", "simmim"), jit="off", peer=tmp_path / "other.py",
        say=lines.append,
    )  # fmt: skip
    found = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert {(row["name"], row["framework"], row["jit"]) for row in found} == {
        ("eesmm", "tensorflow", "False"), ("simmim", "tensorflow", "False"),
        ("peer", "other", "False"),
    }  # fmt: skip
    assert any("peer on other, compiled: left out" in x and "no compiler" in x for x in lines)
    for row in found:
        assert set(row) == set(COLUMNS)
        assert float(row["images_per_s"]) > 0
        assert float(row["peak_mb"]) > 100
    assert (tmp_path / "results.md").read_text() in lines[-1] + "\n"


def test_an_assumed_device_without_its_compiler_is_refused_before_anything_runs(
    tmp_path, monkeypatch
):
    from eesmm_keras.studies.roofline import compiling

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(compiling, "importlib", SimpleNamespace(import_module=absent))
    with pytest.raises(UserError, match=r"pip install 'eesmm-keras\[gpu-audit\]'"):
        throughput.benchmark(tmp_path / "out", assume_device="h100", say=lambda line: None)
    assert not (tmp_path / "out").exists()

"""report.html: everything of a run in one file, nothing from outside, whatever the run's files hold."""

import re
from html.parser import HTMLParser
from unittest import mock

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from eesmm_keras.cli import main as cli
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.classification.findings import ClassifierFindings
from eesmm_keras.evaluation.folder import check_folder, write_findings
from eesmm_keras.reports.report import write_report
from eesmm_keras.training.runs import Run
from small_runs import DIGITS, command


class Page(HTMLParser):
    """Tags that are open, addresses, and the text of a page."""

    alone = ("meta", "img", "link", "path", "use")

    def __init__(self, path):
        super().__init__()
        self.open, self.ids, self.addresses, self.text = [], [], [], ""
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "clip-path"):
                self.addresses.append(value)
        if tag not in self.alone:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.alone:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.alone:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def make_run(folder, task="pretrain", metrics="epoch,loss,data_wait\n1,2.0,0.1\n2,1.5,0.2\n"):
    folder.mkdir()
    config = {
        "task": task, "backend": "jax", "versions": {"keras": "3.15.1"}, "paths": {},
        "settings": {"data": "a <b> & c", "epochs": 2, "method": "eesmm"},
        "derived": {"batch_size": 4, "steps_per_epoch": 3, "images": 12, "image_size": [32, 48]},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "metrics.csv").write_text(metrics)
    return folder


def check_alone(page):
    """Nothing is taken from elsewhere, and what is referred to is in the page."""
    assert all(
        address.startswith(("data:image/png;base64,", "#", "url(#")) for address in page.addresses
    )
    places = [re.sub(r"^url\(|\)$|#", "", a) for a in page.addresses if "#" in a[:5]]
    assert set(places) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_a_page_holds_what_the_folder_holds(tmp_path):
    run = make_run(tmp_path / "run & <co>")
    (run / "pictures").mkdir()
    for epoch in (0, 1, 2):
        Image.new("RGB", (30, 20)).save(run / "pictures" / f"epoch_{epoch:04d}.png")
    (run / "bad_images.txt").write_bytes(b"x\xe9.png: is empty\n<script>alert(1)</script>: why\n")
    Run(run).add_warning("slow_data", "after epoch 2", "20% of the time")
    page = Page(write_report(run))
    check_alone(page)
    assert sum(address.startswith("data:") for address in page.addresses) == 3
    for text in ("run & <co>", "a <b> & c", "Warning, after epoch 2:", "20% of the time", r"x\xe9.png",
                 "<script>alert(1)</script>", "not finished: 2 of 2 epochs", "32 x 48", "3.15.1",
                 "2 images could not be read", "after epoch 2", "before training"):  # fmt: skip
        assert text in page.text
    html = (run / "report.html").read_text()
    assert "<script" not in html
    assert "prefers-color-scheme: dark" in html
    assert html.count("<svg") == 2  # loss and data_wait
    assert "var(--mark)" in html
    first = html
    write_report(run)
    assert (run / "report.html").read_text() == first


def test_an_evaluation_is_on_the_page(tmp_path):
    run = make_run(
        tmp_path / "run", "finetune", "epoch,loss,val_loss,accuracy,val_accuracy\n1,2,2,0,0\n"
    )
    (run / "model.keras").write_text("")
    assert "eesmm evaluate --data 'a <b> & c'" in Page(write_report(run)).text
    labels = np.array([0, 1, 1, 1])
    found = ClassifierFindings.of(("<cat>", "dog"), [(np.eye(2)[[0, 1, 1, 0]] * 3, labels)])
    write_findings(check_folder(run / "evaluation"), found, {"data": "d", "split": "test"})
    page = Page(write_report(run))
    check_alone(page)
    assert "<cat>" in page.text
    assert "0.75" in page.text
    assert "0.301 to 0.954" in page.text  # Wilson's interval of 3 of 4
    assert "eesmm evaluate" not in page.text
    (run / "evaluation" / "metrics.json").write_text("[]")
    assert "cannot be read" in Page(write_report(run)).text


@pytest.mark.parametrize(
    "metrics", ["", "epoch,loss\n", "epoch,loss\n1,nan\n", "epoch,loss\n1,0.5\n"]
)
def test_a_page_of_a_run_that_has_hardly_begun(tmp_path, metrics):
    run = make_run(tmp_path / "run", metrics=metrics)
    check_alone(Page(write_report(run)))


def test_what_is_no_run_is_told(tmp_path):
    with pytest.raises(UserError, match="is no run"):
        write_report(tmp_path)


def test_a_run_leaves_its_page_and_fails_not_without(tmp_path):
    status, text = command(tmp_path / "run", *DIGITS)
    assert status == 0
    page = Page(tmp_path / "run" / "report.html")
    check_alone(page)
    assert re.search(r"Report +.*report.html", text)
    with mock.patch("eesmm_keras.reports.report.write_report", side_effect=OSError("full")):
        status, text = command(tmp_path / "run", *DIGITS)
    assert (status, "could not be written (full)" in text) == (0, True)
    result = CliRunner().invoke(cli.group, ["report", str(tmp_path / "run")])
    assert result.output.strip().endswith("report.html")


def test_a_comparison_is_a_page_too(tmp_path):
    from eesmm_keras.comparison.compare import write
    from eesmm_keras.comparison.table import summary

    def cells(*values):
        return {
            seed: {"linear": v, "images_seen": 9, "gmacs": 2.0} for seed, v in enumerate(values)
        }

    first, other = cells(0.5, 0.52, 0.54), cells(0.6, 0.62, 0.63)
    rows = [
        summary("none", "", cells(0.3, 0.3, 0.3), first),
        summary("eesmm", "gmacs=2", first, first),
        summary("mae:decoder_depth=2", "gmacs=2", other, first),
    ]
    out = tmp_path / "a <b>"
    out.mkdir()
    write(out, rows)
    page = Page(write_report(out))
    assert "a <b>" in page.text
    assert "mae:decoder_depth=2 is best, 61.7 ± 1.5, +9.7 [8.2, 11.1] %" in page.text
    assert "lead over eesmm: beyond the noise of the seeds" in page.text
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    # A cell of random weights from an earlier comparison, which fine-tuned too.
    tuned = {seed: {**cell, "finetune_5": 0.2} for seed, cell in cells(0.3, 0.3, 0.3).items()}
    write(out, [summary("none", "", tuned, first), *rows[1:]])
    page = Page(write_report(out))
    assert "mae:decoder_depth=2 is best, 61.7" in page.text
    assert "20.0" in page.text
    (out / "results.csv").write_text("method\nx\n")
    with pytest.raises(UserError, match="given again, writes it anew"):
        write_report(out)

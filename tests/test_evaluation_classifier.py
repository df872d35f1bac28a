"""What is found out about a classifier, on cases that can be worked out by hand."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from conftest import TINY_SWIN
from eesmm_keras.backbones import from_preset
from eesmm_keras.cli import main as cli
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.classification import measures
from eesmm_keras.evaluation.classification.findings import ClassifierFindings
from eesmm_keras.evaluation.findings import Findings
from eesmm_keras.tasks.image_classifier import ImageClassifier


def eesmm(*args):
    result = CliRunner().invoke(cli.group, [str(arg) for arg in args])
    if result.exception:
        raise result.exception
    return result.output


def findings(labels, logits, names=("a", "b", "c")):
    half = len(labels) // 2
    batches = [(logits[:half], labels[:half]), (logits[half:], labels[half:])]
    return ClassifierFindings.of(names, batches)


@pytest.fixture
def four():
    """Two of four are right; the surest mistake is the last one."""
    labels = np.array([0, 0, 1, 1])
    logits = np.log([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.9, 0.05, 0.05]])
    return findings(labels, logits)


def test_wilsons_interval_is_the_published_one():
    # Newcombe 1998 (Statistics in Medicine 17, table I): 81 of 263, and 0 of 20.
    assert measures.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert measures.wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_mcnemar_is_the_binomial_sum():
    first = np.array([True] * 10 + [False] * 2 + [True] * 50)
    second = np.array([False] * 10 + [True] * 2 + [True] * 50)
    # Two-sided: 2 (1 + 12 + 66) / 2^12.
    assert measures.mcnemar(first, second) == (10, 2, pytest.approx(2 * 79 / 4096))
    assert measures.mcnemar(first, first) == (0, 0, 1.0)


def test_calibration_error_of_known_confidences():
    right = np.array([True] * 9 + [False])
    assert measures.calibration_error(np.full(10, 0.9), right) == pytest.approx(0.0)
    assert measures.calibration_error(np.full(10, 1.0), right) == pytest.approx(0.1)
    halves = np.r_[np.full(5, 0.95), np.full(5, 0.55)]
    # 5 of 5 right at 0.95, 4 of 5 at 0.55.
    assert measures.calibration_error(halves, right) == pytest.approx((0.05 + 0.25) / 2)


def test_numbers_of_every_class(four):
    numbers = four.numbers()
    assert numbers["scores"] == {"accuracy": 0.5}
    assert numbers["confusion"] == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert numbers["classes"][0] == {
        "name": "a", "precision": 0.5, "recall": 0.5, "f1": 0.5, "images": 2,
    }  # fmt: skip
    assert numbers["mean_f1"] == 0.5  # of the classes that are there
    json.dumps(numbers, allow_nan=False)
    assert four.mistakes(5) == [(3, "said a 0.90", "is b 0.05"), (1, "said b 0.60", "is a 0.30")]
    assert "a as b (1)" in " ".join(four.lines())


def test_two_are_compared_on_the_same_images(four):
    better = findings(four.labels, np.eye(3)[four.labels] * 5)
    lines, numbers = four.compare(better)
    assert (numbers["only_first_right"], numbers["only_second_right"]) == (0, 2)
    assert (numbers["p"], numbers["difference"]) == (0.5, 0.5)
    assert "may be equally good" in lines[1]
    with pytest.raises(UserError, match="only where they are classifiers"):
        Findings({"error": 1}).compare(four)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two classifiers that say red or blue for all, and images of both, one of them damaged."""
    root = tmp_path_factory.mktemp("colours")
    for name, colour in (("blue", "#0000ff"), ("red", "#ff0000")):
        (root / "data" / "test" / name).mkdir(parents=True)
        (root / "data" / "train" / name).mkdir(parents=True)
        for i in range(4 if name == "red" else 2):
            Image.new("RGB", (40, 40), colour).save(root / "data" / "test" / name / f"{i}.png")
        Image.new("RGB", (40, 40), colour).save(root / "data" / "train" / name / "0.png")
    broken = root / "data" / "test" / "blue" / "0.png"
    data = bytearray(broken.read_bytes())
    data[-20] ^= 255
    (root / "data" / "test" / "blue" / "bad.png").write_bytes(data)
    model = ImageClassifier(from_preset(TINY_SWIN), 2, ("blue", "red"))
    for name, bias in (("blue", [2, 0]), ("red", [0, 2])):
        model.head.kernel.assign(np.zeros(model.head.kernel.shape))
        model.head.bias.assign(bias)
        model.save(root / f"{name}.keras")
    return root


def test_the_command_leaves_a_folder(models, tmp_path):
    out = tmp_path / "evaluation"
    text = eesmm(
        "evaluate", "--data", models / "data", "--weights", models / "red.keras", "--out", out
    )
    assert "accuracy 0.6667 on 6 images" in text
    assert "95 % interval of the accuracy (Wilson): 0.3000 to 0.9032" in text
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["confusion"] == [[0, 2], [0, 4]]
    assert metrics["split"] == "test"
    with open(out / "classes.csv") as file:
        assert list(csv.reader(file))[2] == ["red", str(4 / 6), "1.0", "0.8", "4"]
    for name in ("confusion.png", "calibration.png", "mistakes.png"):
        assert Image.open(out / name).size[0] > 100
    # Both mistakes are blue.
    assert Image.open(out / "mistakes.png").getpixel((6 + 56, 6 + 56)) == (0, 0, 255)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("")
    with pytest.raises(UserError, match="not empty, and no earlier evaluation"):
        eesmm("evaluate", "--data", models / "data", "--weights", models / "red.keras", "--out",
              tmp_path / "mine")  # fmt: skip


def test_the_command_compares_two(models, tmp_path):
    both = f"{models / 'red.keras'},{models / 'blue.keras'}"
    out = tmp_path / "both"
    text = eesmm("evaluate", "--data", models / "data", "--weights", both, "--out", out)
    assert "Right only in the first: 4; only in the second: 2; difference -0.3333" in text
    assert "McNemar's exact test: p = 0.688" in text
    assert json.loads((out / "metrics.json").read_text())["both_right"] == 0
    assert (out / "first" / "metrics.json").is_file()
    with pytest.raises(UserError, match="one or two"):
        eesmm("evaluate", "--data", models / "data", "--weights", f"{both},{both}")

"""Settings: one declaration each, checked when given, told of in one line."""

from pathlib import Path

import pytest
import yaml

from eesmm_keras.errors import UserError
from eesmm_keras.training.settings import KINDS, as_dict, parse_interval, resolve
from eesmm_keras.training.settings.kinds import kind_of

GOLDEN = Path(__file__).parent / "golden"
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seed", -1, "Setting seed must be a whole number from 0 to 4294967295, got -1."),
        ("seed", 2**32, "from 0 to 4294967295, got 4294967296."),
        ("epochs", 10**30, "a whole number from 1 to 2147483647"),
        ("epochs", 1.5, "must be a whole number"),
        ("epochs", "5", "must be a whole number"),
        ("epochs", True, "must be a whole number"),
        ("epochs", NAN, "must be a whole number"),
        ("epochs", None, "must be a whole number"),
        ("image_size", 5000, "from 1 to 4096"),
        ("learning_rate", "many", "must be a number from 0 to 1000, got 'many'."),
        ("learning_rate", -1e-9, "must be a number"),
        ("learning_rate", int("9" * 400), "must be a number"),
        ("warmup_epochs", NAN, "must be a number from 0 to 100000, got nan."),
        ("warmup_epochs", ".inf", "must be a number"),
        ("ema_momentum", 2, "must be a number from 0 to 1 (left out), got 2."),
        ("ema_momentum", -1, "must be a number from 0 to 1 (left out), got -1."),
        ("label_share", 0, "from 0 (left out) to 1, got 0."),
        ("crop_ratio", [INFINITY, INFINITY], "two numbers from 0.001 to 1000"),
        ("crop_scale", [0.5], "must be two numbers"),
        ("crop_scale", [0.9, 0.2], "the smaller one comes first"),
        ("crop_scale", "big", "must be two numbers"),
        ("flip", 1, "must be true or false, got 1."),
        ("precision", "float8", "Did you mean 'float32'? Known: float32, mixed_bfloat16"),
        ("checkpoint_every", "3 cows", "checkpoint_every takes a number of steps"),
        ("checkpoint_every", 0.5, "checkpoint_every takes a number of steps"),
        ("out", "x" * 300, "a name may have 255 bytes"),
        ("out", "a/" * 3000, "a whole path 4095"),
        ("out", "a\0b", "there is a null byte in it"),
        ("data", "\udcff", "bytes in it that are not UTF-8"),
        ("data", ["x"], "must be a path"),
        ("backbone", "", "must be text, got ''."),
        ("epoch", 3, "Unknown setting 'epoch'. Did you mean 'epochs'?"),
        ("x" * 5000, 3, "Unknown setting 'xxx"),
        (None, 3, "Unknown setting None."),
    ],
)
def test_a_value_that_is_none_is_told_in_one_short_line(name, value, message):
    with pytest.raises(UserError) as caught:
        resolve("finetune", options={name: value})
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert len(text) < 600


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", 5.0, 5),
        ("learning_rate", "1e-4", 1e-4),
        ("learning_rate", 1, 1.0),
        ("crop_scale", [1, 1], (1.0, 1.0)),
        ("checkpoint_every", 500, "500"),
        ("checkpoint_every", "2 epochs", "2 epochs"),
        ("limit", None, None),
        ("ema_momentum", 0, 0.0),
        ("seed", 2**32 - 1, 2**32 - 1),
    ],
)
def test_what_yaml_makes_of_a_value_is_taken(name, value, expected):
    found = getattr(resolve("finetune", options={name: value}), name)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*-config.yaml")), ids=lambda path: path.stem)
def test_settings_of_earlier_runs_go_through_unchanged(path):
    config = yaml.safe_load(path.read_text())
    found = as_dict(resolve(config["task"], options=config["settings"]))
    assert {name: found[name] for name in config["settings"]} == config["settings"]
    later = {name: value for name, value in found.items() if name not in config["settings"]}
    assert later.items() <= as_dict(KINDS[config["task"]]()).items()


def test_every_setting_says_what_it_is_and_takes_its_default():
    for cls in KINDS.values():
        for name, field in cls.model_fields.items():
            assert kind_of(cls.kinds()[name]).words
            if name == "method_args":
                continue
            assert len(field.description) > 5, name
            assert cls.check(name, field.default) == field.default, name


def test_settings_made_in_python_are_checked_too():
    with pytest.raises(UserError, match="Unknown setting 'epoch'"):
        KINDS["pretrain"](epoch=3)
    with pytest.raises(ValueError, match="frozen"):
        KINDS["pretrain"]().epochs = 4
    with pytest.raises(UserError, match="Setting method_args must be a mapping, got 5"):
        KINDS["pretrain"](method_args=5)


def test_method_arguments_are_copied_into_the_dict():
    settings = resolve("pretrain", options={"method_args": {"mix_weights": [0.5, 0.5]}})
    as_dict(settings)["method_args"]["mix_weights"].append(1)
    assert settings.method_args["mix_weights"] == [0.5, 0.5]


@pytest.mark.parametrize("text", ["", "x", "0", "-3", "inf", "nan", "1.5", "1.5 epochs", "1 1 1"])
def test_no_interval(text):
    with pytest.raises(UserError, match="checkpoint_every takes"):
        parse_interval(text)


@pytest.mark.parametrize("assignment", ["", "=", "epochs", "epochs=", "=3", "epochs= "])
def test_set_wants_a_key_and_a_value(assignment):
    with pytest.raises(UserError, match="--set takes key=value"):
        resolve("pretrain", assignments=[assignment])


def test_of_two_assignments_the_later_one_counts():
    assert resolve("pretrain", assignments=["epochs=3", "epochs=4"]).epochs == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("&a {method_args: *a}", "contains itself"),
        ("method_args: &a {mix_weights: *a}", "contains itself"),
        ("mix_weights: &a [1, *a]", "contains itself"),
        (
            "a0: &a0 [1, 1]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(40)),
            "stands for more than 100000 values",
        ),
        ("a: &a0 [1]\nb: [\n" + "".join(f"&a{i + 1} [*a{i}],\n" for i in range(3000)) + "]",
         "stands for more than"),
        ("seed: 2020-99-99", "is not valid YAML"),
        ("task: [1, 2]", "is for `eesmm"),
        ("task: null\nepochs: 3", "is for `eesmm"),
        ("3: 3", "Unknown setting 3"),
        ("method: [eesmm]", "Setting method must be text"),
        ("method_args: 3", "must be a mapping"),
    ],
    ids=range(11),
)  # fmt: skip
def test_odd_recipes(tmp_path, text, message):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        resolve("pretrain", str(tmp_path / "r.yaml"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600

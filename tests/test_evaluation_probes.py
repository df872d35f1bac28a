"""kNN, linear probe and feature extraction on cases with a known answer."""

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from conftest import TINY_SWIN
from eesmm_keras import SwinBackbone
from eesmm_keras.backbones import from_preset
from eesmm_keras.cli import main as cli
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation import extract_features, knn_accuracy, linear_probe_accuracy
from eesmm_keras.evaluation.probes import PROBES, make_probe


@pytest.fixture(scope="module")
def backbone():
    return SwinBackbone(
        image_shape=(16, 16, 3), patch_size=2, window_size=4, embed_dim=8, depths=(1, 1),
        num_heads=(1, 2),
    )  # fmt: skip


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype="uint8")


def test_features_are_the_mean_of_the_feature_map(backbone, images):
    features = extract_features(backbone, images, batch_size=3)
    feature_map = keras.ops.convert_to_numpy(backbone(images.astype("float32"), training=False))
    assert features.shape == (7, 16)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, feature_map.mean((1, 2)), atol=1e-5)


def test_batches_with_labels_give_the_same_features(backbone, images):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((images, np.arange(7))).batch(4)
    expected = extract_features(backbone, images)
    np.testing.assert_allclose(extract_features(backbone, dataset), expected, atol=1e-5)
    batches = [images[:4], images[4:]]
    np.testing.assert_allclose(extract_features(backbone, batches), expected, atol=1e-5)


def test_feature_extraction_says_what_it_expects(backbone, images):
    with pytest.raises(ValueError, match="received shape"):
        extract_features(backbone, images[0])
    with pytest.raises(ValueError, match="at least one image"):
        extract_features(backbone, images[:0])


def test_knn_looks_at_the_angle_only():
    train_x, train_y = [[1, 0], [0, 1]], ["right", "up"]
    test_x, test_y = [[100, 1], [0.001, 0.01]], ["right", "up"]
    assert knn_accuracy(train_x, train_y, test_x, test_y, k=1) == 1.0


def test_knn_vote_is_exponential_in_similarity():
    # One neighbour at similarity 1 against ten at 0.8: exp(1 / .07) > 10 exp(.8 / .07), so the
    # near one wins although a plain or a 1 - s weighted majority says otherwise.
    train_x = [[1, 0]] + [[0.8, 0.6]] * 10
    train_y = [0] + [1] * 10
    assert knn_accuracy(train_x, train_y, [[1, 0]], [0], k=11) == 1.0
    # exp(.2 / .07) is 17.4: eighteen at 0.8 outvote it.
    train_x, train_y = train_x + train_x[1:9], train_y + train_y[1:9]
    assert knn_accuracy(train_x, train_y, [[1, 0]], [0], k=19) == 0.0


def test_knn_with_fewer_training_images_than_k_asks_all_of_them():
    assert knn_accuracy([[1, 0], [0, 1]], [0, 1], [[2, 1]], [0], k=20) == 1.0


def test_linear_probe_separates_lines_but_not_rings():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)) * [1, 1000]  # Scales apart: standardising makes it easy.
    side, ring = x[:, 0] > 0, np.hypot(x[:, 0], x[:, 1] / 1000) > 1.18
    half = slice(0, 200), slice(200, 400)
    train, test = (x[h] for h in half)
    assert linear_probe_accuracy(train, side[half[0]], test, side[half[1]]) > 0.95
    assert linear_probe_accuracy(train, ring[half[0]], test, ring[half[1]]) < 0.7


@pytest.mark.parametrize("accuracy", [knn_accuracy, linear_probe_accuracy])
def test_bad_features_are_refused(accuracy):
    good, labels = np.eye(2), [0, 1]
    with pytest.raises(ValueError, match="labels"):
        accuracy(good, [0], good, labels)
    with pytest.raises(ValueError, match="not finite"):
        accuracy(good * np.nan, labels, good, labels)
    with pytest.raises(ValueError, match="same feature size"):
        accuracy(good, labels, good[:, :1], labels)
    with pytest.raises(ValueError, match="`k` of at least 1, got 0"):
        knn_accuracy(good, labels, good, labels, k=0)


@pytest.mark.parametrize("name", PROBES.names())
def test_every_probe_tells_two_clusters_apart_and_refuses_what_is_not_finite(name):
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = rng.normal(size=(40, 3)) + 20 * y[:, None] - 10
    probe = make_probe(name)
    assert probe.title
    assert probe.score(x[:20], y[:20], x[20:], y[20:]) == 1.0
    assert probe.score(x[:20], y[:20], x[20:], 1 - y[20:]) == 0.0
    x[3, 0] = np.nan
    with pytest.raises(UserError, match=r"features of 1 of 20 train images are not finite.*NaN"):
        probe.score(x[:20], y[:20], x[20:], y[20:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kn", "Unknown probe 'kn'. Did you mean 'knn'"),
        ("knn:n=3", "Unknown argument of knn 'n'.*Known: k"),
        ("knn:k=x", "at least 1, got 'x'"),
        ("linear:c=0", "positive number `c`, got 0"),
        ("linear:max_iter=0.5", "`max_iter` >= 1, got 0.5"),
    ],
)
def test_a_probe_is_asked_for_by_name_and_arguments(text, message):
    assert make_probe("knn:k=3").k == 3
    with pytest.raises(UserError, match=message):
        make_probe(text)


MAJORITY = """
from eesmm_keras.evaluation.probe import Probe


class Majority(Probe):
    title = "share of the commonest class"

    def score(self, train_x, train_y, test_x, test_y):
        commonest = max(set(train_y.tolist()), key=train_y.tolist().count)
        return float((test_y == commonest).mean())
"""


def evaluate(path, mode):
    arguments = ["evaluate", "--data", "digits", "--weights", str(path), "--mode", mode]
    return CliRunner().invoke(cli.group, arguments)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="commands compile for minutes there")
def test_a_probe_of_ones_own_is_one_file_and_weights_with_nan_are_told(tmp_path, monkeypatch):
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / "majority.py").write_text(MAJORITY)
    monkeypatch.setenv("EESMM_PLUGINS", str(tmp_path))
    backbone = from_preset(TINY_SWIN)
    backbone.save(tmp_path / "encoder.keras")
    output = evaluate(tmp_path / "encoder.keras", "majority").output
    assert "share of the commonest class 0.1" in output

    backbone.weights[0].assign(np.full(backbone.weights[0].shape, np.nan))
    backbone.save(tmp_path / "diverged.keras")
    error = evaluate(tmp_path / "diverged.keras", "knn").exception
    assert isinstance(error, UserError)
    assert "train images are not finite" in str(error)

"""What the places of a pyramid are to say of boxes, and the loss of what they say."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import to_numpy
from eesmm_keras.evaluation.detection.choosing import detections
from eesmm_keras.ops.box_grid import BoxGrid
from eesmm_keras.ops.box_marks import CROWD, NO_BOX
from eesmm_keras.tasks.box_losses import BoxIoU, BoxLoss
from eesmm_keras.tasks.box_targets import assign


def random_rows(images, most, size, rng):
    """Rows as `Boxes.show` gives them, one in five a crowd."""
    low = rng.uniform(0, 0.8, (images, most, 2))
    high = low + rng.uniform(0.02, 1, (images, most, 2)) * (1 - low)
    kinds = rng.integers(0, 3, (images, most, 1)).astype(float)
    kinds[rng.random(kinds.shape) < 0.2] = CROWD
    kinds[rng.random(kinds.shape) < 0.2] = NO_BOX
    scale = np.array(size[::-1])
    return np.concatenate([kinds, low * scale, high * scale], -1).astype("float32")


def test_places_get_the_boxes_that_a_search_finds():
    size, maps = (48, 64), [(12, 16), (6, 8), (3, 4)]
    grid = BoxGrid(maps, size)
    rows = random_rows(12, 6, size, np.random.default_rng(0))
    found = assign(grid, tf.constant(rows)).numpy()
    places = [
        (2 ** (k + 2), x, y) for k, (h, w) in enumerate(maps) for y in range(h) for x in range(w)
    ]
    assert found.shape == (12, len(places), 5)
    kinds = set()
    for image, said in zip(rows, found, strict=True):
        for (stride, column, row), (kind, *box) in zip(places, said, strict=True):
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            best, crowded = None, False
            for k, left, top, right, bottom in image.tolist():
                inside = left <= x < right and top <= y < bottom
                crowded |= k == CROWD and inside
                side = ((right - left) * (bottom - top)) ** 0.5
                level = min((4, 8, 16), key=lambda s, side=side: abs(np.log(side / (4 * s))))
                away = max(abs(x - (left + right) / 2), abs(y - (top + bottom) / 2)) / stride
                mine = k >= 0 and level == stride and ((inside and away < 1.5) or away <= 0.5)
                if mine and (best is None or side < best[0]):
                    best = side, k, [left, top, right, bottom]
            if best:
                assert (kind, box) == (best[1], best[2])
            else:
                assert kind == (CROWD if crowded else NO_BOX)
            kinds.add(kind)
    assert kinds == {NO_BOX, CROWD, 0, 1, 2}


def test_no_box_is_without_a_place():
    grid = BoxGrid([(8, 8), (4, 4)], (32, 32))
    rows = random_rows(400, 1, (32, 32), np.random.default_rng(1))
    rows[:, 0, 0] = 1
    assert (assign(grid, tf.constant(rows)).numpy()[..., 0] == 1).any(axis=1).all()


def test_the_loss_is_that_of_each_image_and_its_gradient_finite():
    rng = np.random.default_rng(0)
    grid = BoxGrid([(8, 8), (4, 4)], (32, 32))
    rows = random_rows(4, 3, (32, 32), rng)
    rows[3, :, 0] = NO_BOX  # an image without boxes
    rows[2, :, 0] = CROWD
    truth = assign(grid, tf.constant(rows))
    numbers = rng.normal(size=(4, len(grid), 7)).astype("float32")
    logits = numbers[..., 4:]
    boxes = to_numpy(grid.decode(numbers[..., :4]))
    whole = np.concatenate([boxes, logits], -1)
    each = [float(BoxLoss()(truth[k : k + 1], whole[k : k + 1])) for k in range(4)]
    assert float(BoxLoss()(truth, whole)) == pytest.approx(np.mean(each), rel=1e-5)

    p = 1 / (1 + np.exp(-logits[3]))  # without boxes: focal loss against nothing
    assert each[3] == pytest.approx(float((-0.75 * p**2 * np.log(1 - p)).sum()), rel=1e-3)
    counted = truth[2, :, 0].numpy() != CROWD
    assert 0 < counted.sum() < len(counted)
    p = 1 / (1 + np.exp(-logits[2][counted]))
    assert each[2] == pytest.approx(float((-0.75 * p**2 * np.log(1 - p)).sum()), rel=1e-3)

    exact = np.where(truth[..., :1] >= 0, truth[..., 1:], boxes)
    perfect = np.concatenate(
        [exact, 30 * (np.eye(4)[to_numpy(truth)[..., 0].astype(int)][..., :3]) - 15], -1
    )
    assert float(BoxLoss()(truth, perfect.astype("float32"))) < 1e-3
    metric = BoxIoU()
    metric.update_state(truth, perfect.astype("float32"), sample_weight=np.array([1, 0, 0, 1]))
    assert float(metric.result()) == pytest.approx(1, abs=1e-5)
    for start in (numbers, np.zeros_like(numbers), 100 * numbers):
        x = tf.Variable(start)
        with tf.GradientTape() as tape:
            loss = BoxLoss()(truth, tf.concat([grid.decode(x[..., :4]), x[..., 4:]], -1))
        assert np.isfinite(tape.gradient(loss, x).numpy()).all()


def test_suppression_keeps_the_most_probable_of_each_class():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.5, (60, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.1, 0.5, (60, 2))], 1).astype("float32")
    probabilities = rng.random((60, 2)).astype("float32")
    found = detections(boxes, probabilities, min_score=0.2, overlap=0.4, most=1000)
    assert (np.diff(found[:, 4]) <= 0).all()
    expected = 0
    for kind in (0, 1):
        chosen = tf.image.non_max_suppression(
            boxes, probabilities[:, kind], 1000, iou_threshold=0.4, score_threshold=0.2
        ).numpy()
        rows = found[found[:, 5] == kind]
        np.testing.assert_array_equal(rows[:, :4], boxes[chosen])
        np.testing.assert_array_equal(rows[:, 4], probabilities[chosen, kind])
        expected += len(chosen)
    assert len(found) == expected
    np.testing.assert_array_equal(detections(boxes, probabilities, 0.2, 0.4, most=5), found[:5])
    assert detections(boxes, probabilities, min_score=1.1).shape == (0, 6)

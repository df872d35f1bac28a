"""The one place that decides how many images a step takes and how many steps an epoch has."""

import pytest

from eesmm_keras.errors import UserError
from eesmm_keras.training.batch_plan import BatchPlan
from eesmm_keras.training.settings import PretrainSettings


def plan(images, batch_size=64, steps=None, **rule):
    settings = PretrainSettings(
        data="photos", batch_size=batch_size, steps_per_epoch=steps, epochs=3
    )
    return BatchPlan.make(settings, images, **rule)


@pytest.mark.parametrize(
    ("images", "options", "expected"),
    [
        (640, {}, (64, 10)),
        (700, {}, (64, 11)),
        (640, {"steps": 3}, (64, 3)),
        (50, {}, (50, 1)),
        (51, {"group": 2}, (50, 1)),
        (55, {"group": 2, "replicas": 4}, (48, 1)),
        (3, {"replicas": 4}, (4, 1)),
        (900, {"begun_with": {"batch_size": 50, "steps_per_epoch": 7}}, (50, 7)),
        (10, {"begun_with": {"batch_size": 50, "steps_per_epoch": 7}}, (50, 7)),
    ],
)
def test_batches_and_steps(images, options, expected):
    made = plan(images, **options)
    assert (made.batch_size, made.steps) == expected
    assert made.total_steps == 3 * made.steps


@pytest.mark.parametrize(
    ("images", "options", "told"),
    [
        (1, {"group": 2}, "photos holds 1 image, and 2 are mixed into one: at least 2"),
        (100, {"batch_size": 7, "group": 2}, "--batch-size 7 must be a multiple of 2: samples of 2"),
        (100, {"batch_size": 6, "group": 2, "replicas": 2}, "multiple of 4: 2 devices, and samples"),
        (3, {"batch_size": 6, "group": 2, "replicas": 2}, "multiple of 4"),
        (9, {"batch_size": 1, "least": 2}, "must be at least 2: 1 device, and 2 images on each"),
        (9, {"batch_size": 2, "least": 2, "replicas": 2}, "at least 4: 2 devices, and 2 images"),
        (9, {"replicas": 4, "begun_with": {"batch_size": 6, "steps_per_epoch": 1}}, "multiple of 4"),
    ],
)  # fmt: skip
def test_what_cannot_be_shared_out_is_told(images, options, told):
    with pytest.raises(UserError, match=told):
        plan(images, **options)


def test_other_batches_than_asked_for_are_told():
    assert plan(640).in_words(64) == ""
    assert plan(50).in_words(64) == "Batches of 50: there are only 50 images."
    begun = {"batch_size": 50, "steps_per_epoch": 1}
    assert "begun with them" in plan(640, begun_with=begun).in_words(64)

import keras
import numpy as np
import pytest
import tensorflow as tf

from conftest import one_hot
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import Augmentation, labelled_dataset
from eesmm_keras.data.sources import open_source

OPTIONS = {
    "rand_augment": {"rand_augment_magnitude": 0.9},
    "mixup": {"mixup_alpha": 0.8},
    "cutmix": {"cutmix_alpha": 1.0},
    "both mixes": {"mixup_alpha": 0.8, "cutmix_alpha": 1.0},
    "erasing": {"erasing": 1.0},
    "all": {
        "rand_augment_magnitude": 0.9,
        "mixup_alpha": 0.8,
        "cutmix_alpha": 1.0,
        "erasing": 0.25,
    },
}
SEED = (0, 0)


def batch(count=12, size=32, classes=12):
    """Picture k is of the one value 20 k, and its label is k."""
    values = (20 * np.arange(count)).astype(np.uint8)
    images = np.broadcast_to(values[:, None, None, None], (count, size, size, 3))
    return tf.constant(images), tf.constant(np.eye(count, classes, dtype=np.float32))


def natural():
    """Pictures with something in them, for what leaves plain ones alone."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
    return tf.constant(coarse.repeat(4, 1).repeat(4, 2)), tf.constant(np.eye(12, dtype=np.float32))


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_changes_images_and_keeps_ranges(name):
    images, labels = natural()
    new_images, new_labels = Augmentation(**OPTIONS[name]).apply(images, labels, SEED)
    assert new_images.dtype == tf.uint8
    assert new_images.shape == images.shape
    changed = (new_images.numpy() != images.numpy()).reshape(12, -1).any(axis=1)
    assert changed.sum() >= 6
    np.testing.assert_allclose(new_labels.numpy().sum(axis=1), 1, atol=1e-5)
    assert new_labels.numpy().min() >= 0
    mixes = name in ("mixup", "cutmix", "both mixes", "all")
    assert (new_labels.numpy() != labels.numpy()).any() == mixes


def test_mixup_labels_are_the_shares_of_the_pictures():
    images, labels = batch()
    mixed, shares = Augmentation(mixup_alpha=0.8).apply(images, labels, SEED)
    expected = shares.numpy() @ (20.0 * np.arange(12))
    np.testing.assert_allclose(mixed.numpy()[:, 0, 0, 0], expected, atol=0.51)


def test_cutmix_labels_are_the_shares_of_the_pixels_even_at_the_border():
    images, labels = batch()
    augmentation = Augmentation(cutmix_alpha=1.0)
    for step in range(5):
        mixed, shares = augmentation.apply(images, labels, (0, step))
        origin = mixed.numpy()[..., 0] // 20
        counted = [(origin == k).mean(axis=(1, 2)) for k in range(12)]
        np.testing.assert_allclose(shares.numpy(), np.transpose(counted), atol=1e-5)


def test_one_of_the_two_mixes_is_taken_per_batch():
    images, labels = batch()
    augmentation = Augmentation(mixup_alpha=5.0, cutmix_alpha=1.0)
    kinds = []
    for step in range(40):
        mixed = augmentation.apply(images, labels, (0, step))[0].numpy()
        kinds.append(np.isin(mixed, images.numpy()).all())  # CutMix makes no new values
    assert 5 <= sum(kinds) <= 35


def test_erasing_takes_a_share_of_the_images_and_part_of_each():
    images = tf.concat([tf.fill((200, 32, 32, 3), 100), [tf.zeros((32, 32, 3), tf.int32)]], 0)
    labels = tf.one_hot(tf.zeros(201, tf.int32), 2)
    erased = Augmentation(erasing=0.25).apply(images, labels, SEED)[0].numpy()[:200] != 100
    per_image = erased.any(axis=-1).mean(axis=(1, 2))
    assert 25 <= (per_image > 0).sum() <= 80
    assert per_image.max() < 0.4


def test_more_operations_at_more_strength_change_more():
    images, labels = natural()

    def change(**options):
        augmentation = Augmentation(**options)
        new = [augmentation.apply(images, labels, (0, step))[0] for step in range(4)]
        return np.abs(np.stack(new).astype(int) - images.numpy()).mean()

    assert change(rand_augment_magnitude=0.9, rand_augment_ops=3) > change(
        rand_augment_magnitude=0.1, rand_augment_ops=1
    )


@pytest.mark.parametrize("name", ["all", "erasing"])
def test_a_batch_is_a_function_of_its_seed(name):
    images, labels = natural()
    first, again, other = (
        Augmentation(**OPTIONS[name]).apply(images, labels, seed)
        for seed in ((1, 2), (1, 2), (1, 3))
    )
    for x, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(x, same)
        assert name == "erasing" or (x != different).numpy().any()
    assert (first[0] != other[0]).numpy().any()


def test_labelled_batches_resume_bit_for_bit():
    arguments = {
        "targets": one_hot(10),
        "steps": 6,
        "seed": 3,
        "augmentation": Augmentation(**OPTIONS["all"]),
    }
    source = open_source("digits")
    whole = list(labelled_dataset(source, 16, 8, **arguments))
    resumed = list(labelled_dataset(source, 16, 8, start_step=4, **arguments))
    assert len(resumed) == 2
    for batch, same in zip(whole[4:], resumed, strict=True):
        for x, y in zip(batch, same, strict=True):
            np.testing.assert_array_equal(x, y)


def test_every_operation_of_rand_augment_is_drawn_alike():
    """And so is none, which is one of eleven in the paper."""
    from eesmm_keras.data._rand_augment import _OPERATIONS, RandAugment

    layer = RandAugment(0.5, 1)
    layer._operate = lambda k, images, *_: tf.fill(tf.shape(images), float(k))
    counts = layer(tf.fill((4000, 1, 1, 3), -1.0), tf.constant(SEED, tf.int64)).numpy()[:, 0, 0, 0]
    seen = np.bincount(counts.astype(int) + 1, minlength=_OPERATIONS + 1)
    assert np.ptp(seen / 4000 - 1 / 11) < 0.04


def test_the_default_leaves_batches_alone():
    assert not Augmentation().on_batches
    assert all(Augmentation(**options).on_batches for options in OPTIONS.values())


def test_a_half_precision_policy_does_not_round_pixels():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        augmentation = Augmentation(rand_augment_magnitude=0.5, cutmix_alpha=1.0, erasing=0.5)
        images, labels = batch()
        augmentation.apply(images, labels, SEED)
        mixed = Augmentation(cutmix_alpha=1.0).apply(images + 1, labels, SEED)[0]
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(policy)
    assert np.isin(mixed.numpy(), images.numpy() + 1).all()


def test_it_runs_in_a_data_set():
    dataset = labelled_dataset(
        open_source("digits"),
        32,
        8,
        targets=one_hot(10),
        steps=3,
        augmentation=Augmentation(flip=False, **OPTIONS["all"]),
    )
    assert dataset.element_spec[0].shape == (8, 32, 32, 3)
    for images, labels in dataset:
        assert images.dtype == tf.uint8
        np.testing.assert_allclose(labels.numpy().sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rand_augment_magnitude": 9},
        {"rand_augment_ops": 0},
        {"mixup_alpha": -0.1},
        {"cutmix_alpha": -1},
        {"erasing": 1.5},
        {"crop_scale": (0.5, 2)},
        {"crop_ratio": (0, 1)},
    ],
)
def test_arguments_are_checked(wrong):
    with pytest.raises(DataError, match=next(iter(wrong))):
        Augmentation(**wrong)

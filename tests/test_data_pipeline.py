import itertools

import numpy as np
import pytest
from PIL import Image

from conftest import one_hot
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import (
    Augmentation,
    evaluation_dataset,
    labelled_dataset,
    load_arrays,
    pretrain_dataset,
)
from eesmm_keras.data.sources import open_source


@pytest.fixture
def folder(tmp_path):
    """Two classes of five pictures; picture k is of the one value k."""
    for k in range(10):
        path = tmp_path / "ab"[k // 5] / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (12, 9), (k, k, k)).save(path)
    return tmp_path


def shown(batches):
    """The picture numbers that unlabelled batches show."""
    return np.concatenate([batch.numpy()[:, 0, 0, 0] for batch in batches])


def spoil(path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-300])


def test_batches_are_full_static_and_counted(folder):
    dataset = pretrain_dataset(open_source(folder), 16, 4, 7, start_step=2)
    assert int(dataset.cardinality()) == len(list(dataset)) == 5
    assert dataset.element_spec.shape == (4, 16, 16, 3)
    assert dataset.element_spec.dtype.name == "uint8"


def test_a_batch_depends_on_seed_and_step_only():
    source = open_source("digits")
    whole = [batch.numpy() for batch in pretrain_dataset(source, 16, 6, 8, seed=3)]
    resumed = list(pretrain_dataset(source, 16, 6, 8, start_step=5, seed=3))
    np.testing.assert_array_equal(whole[5:], resumed)
    longer = list(pretrain_dataset(source, 16, 6, 9, seed=3))
    np.testing.assert_array_equal(whole, longer[:8])
    other = list(pretrain_dataset(source, 16, 6, 8, seed=4))
    assert all((a != b.numpy()).any() for a, b in zip(whole, other, strict=True))
    assert all((a != b).any() for a, b in itertools.pairwise(whole))


def test_every_epoch_shows_every_image_once_in_a_new_order_across_batches(folder):
    numbers = shown(pretrain_dataset(open_source(folder), 8, 4, 5)).reshape(2, 10)
    for epoch in numbers:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(10))
    assert (numbers[0] != numbers[1]).any()


def test_crops_of_one_image_differ_and_flips_are_half():
    class Ramp:
        """One picture, dark on the left and bright on the right."""

        channels, dtype = 3, np.uint8

        def __len__(self):
            return 1

        def load_good(self, index, *how, **labelled):
            ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3))
            return Image.fromarray(ramp), index

    images = np.concatenate(list(pretrain_dataset(Ramp(), 16, 50, 4)))
    assert len(np.unique(images.reshape(200, -1), axis=0)) > 150
    flipped = images[:, 8, 0, 0] > images[:, 8, -1, 0]
    assert 60 < flipped.sum() < 140
    images = np.concatenate(list(pretrain_dataset(Ramp(), 16, 50, 4, flip=False)))
    assert (images[:, 8, 0, 0] < images[:, 8, -1, 0]).all()
    (whole,) = pretrain_dataset(Ramp(), 64, 1, 1, crop_scale=(1, 1), crop_ratio=(1, 1), flip=False)
    np.testing.assert_array_equal(whole[0, 0, :, 0], np.arange(64))


def test_a_folder_of_one_image_repeats_it(tmp_path):
    Image.new("RGB", (5, 5), (9, 9, 9)).save(tmp_path / "only.png")
    assert shown(pretrain_dataset(open_source(tmp_path), 8, 4, 2)).tolist() == [9] * 8


def test_an_image_that_turns_bad_is_replaced_by_the_next_one_and_recorded(folder):
    source = open_source(folder)
    spoil(folder / "a" / "2.png")
    numbers = shown(pretrain_dataset(source, 8, 5, 4)).reshape(2, 10)
    for epoch in numbers:
        assert sorted(epoch) == [0, 1, 3, 3, 4, 5, 6, 7, 8, 9]
    assert [what for what, _ in source.bad] == [str(folder / "a" / "2.png")]


def test_if_nothing_can_be_decoded_the_data_set_is_refused_at_once(tmp_path):
    Image.new("RGB", (5, 5)).save(tmp_path / "a.jpg")
    sources = [open_source(tmp_path) for _ in range(2)]
    spoil(tmp_path / "a.jpg")
    for make in (
        lambda source: pretrain_dataset(source, 8, 2, 2),
        lambda source: load_arrays(source, 8),
    ):
        with pytest.raises(DataError, match="None of the 1"):
            make(sources.pop())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "image_size"),
        ({"batch_size": 0}, "batch_size"),
        ({"start_step": 3}, "start_step"),
        ({"seed": -1}, "seed"),
        ({"crop_scale": (0.0, 1.0)}, "crop_scale"),
        ({"crop_ratio": (2.0, 1.0)}, "crop_ratio"),
    ],
)
def test_arguments_are_checked(arguments, message):
    arguments = {"image_size": 8, "batch_size": 2, "steps": 2, **arguments}
    with pytest.raises(DataError, match=message):
        pretrain_dataset(open_source("digits"), **arguments)


def test_labels_go_with_their_images(folder):
    source = open_source(folder)
    spoil(folder / "a" / "4.png")  # replaced by 5, which is of the other class
    dataset = labelled_dataset(source, 8, 5, targets=one_hot(3), steps=4)
    assert dataset.element_spec[0].shape == (5, 8, 8, 3)
    assert dataset.element_spec[1].shape == (5, 3)
    for images, labels in dataset:
        expected = np.eye(3, dtype=np.float32)[images[:, 0, 0, 0].numpy() // 5]
        np.testing.assert_array_equal(labels, expected)


def test_labelled_batches_resume_and_can_be_endless(folder):
    source = open_source(folder)
    arguments = {"targets": one_hot(2), "augmentation": Augmentation(), "seed": 1}
    whole = list(labelled_dataset(source, 8, 4, steps=6, **arguments))
    resumed = labelled_dataset(source, 8, 4, start_step=3, **arguments)
    for (images, labels), (same_images, same_labels) in zip(whole[3:], resumed, strict=False):
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(labels, same_labels)
    assert int(resumed.cardinality()) > 10**9


def test_labels_are_needed(folder):
    flat = open_source(folder / "a")
    for make in (labelled_dataset, evaluation_dataset):
        extra = {"targets": one_hot(2)} if make is labelled_dataset else {}
        with pytest.raises(DataError, match="no labels"):
            make(flat, 8, 4, **extra)


def test_evaluation_shows_each_image_once_in_order(folder):
    source = open_source(folder)
    batches = list(evaluation_dataset(source, 8, 4))
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    np.testing.assert_array_equal(shown(images for images, _ in batches), np.arange(10))
    labels = np.concatenate([labels for _, labels in batches])
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, source.labels)


def test_evaluation_and_arrays_leave_out_what_does_not_decode(folder):
    source = open_source(folder)
    (folder / "b" / "7.png").unlink()
    batches = list(evaluation_dataset(source, 8, 4))
    numbers = shown(images for images, _ in batches)
    np.testing.assert_array_equal(numbers, [0, 1, 2, 3, 4, 5, 6, 8, 9])
    images, labels = load_arrays(source, 8)
    np.testing.assert_array_equal(images[:, 0, 0, 0], numbers)
    np.testing.assert_array_equal(labels, numbers // 5)
    assert len(source.bad) == 1


def test_arrays_agree_with_the_evaluation_set_and_limits_are_spread(folder):
    source = open_source(folder)
    images, labels = load_arrays(source, 8)
    ((same_images, same_labels),) = evaluation_dataset(source, 8, 10)
    np.testing.assert_array_equal(images, same_images)
    np.testing.assert_array_equal(labels, same_labels)
    images, labels = load_arrays(source, 8, limit=4)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(labels), [2, 2])
    assert load_arrays(open_source(folder / "a"), 8)[1] is None


def test_keras_fits_on_it(folder):
    import keras

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "categorical_crossentropy")
    dataset = labelled_dataset(open_source(folder), 8, 4, targets=one_hot(2))
    history = model.fit(dataset, steps_per_epoch=2, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2


@pytest.mark.parametrize(("channels", "kind"), [(1, "uint8"), (3, "uint8"), (5, "float32")])
def test_a_mirrored_view_is_its_columns_in_the_other_order(channels, kind):
    from eesmm_keras.data.channels import mirrored

    view = np.random.default_rng(0).integers(0, 256, (4, 6, channels)).astype(kind)
    for one in (view, view[:, 1:4]):
        np.testing.assert_array_equal(mirrored(one), one[:, ::-1])
        assert mirrored(one).dtype == kind

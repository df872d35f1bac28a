"""Sources to tf.data: what training and evaluation read, on every Keras backend.

Training batches are a pure function of `(seed, step)`, so that a run can stop and go on anywhere:
`order` says which image stands at position p = step * batch_size + row, and its crop is drawn from
`(seed, p)`.

Images smaller than `image_size` are enlarged. An image that turns out not to decode is replaced by
the next one of the source that does, and recorded in `source.bad`.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from eesmm_keras.data._pipeline_checks import check_positive, check_training, labels_of
from eesmm_keras.data.augmentation import Augmentation
from eesmm_keras.data.channels import size_of
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.order import batch_members, image_at
from eesmm_keras.data.views import CentralView, RandomView, still_view
from eesmm_keras.gpus import leave_gpus_to_backend

__all__ = [
    "Augmentation",
    "batch_members",
    "evaluation_dataset",
    "labelled_dataset",
    "load_arrays",
    "numbered_dataset",
    "pretrain_dataset",
]

_ENDLESS = 2**40
_ROWS_PER_CALL = 8
_ALIGNMENT = 64  # bytes

leave_gpus_to_backend()


def pretrain_dataset(
    source,
    image_size,
    batch_size,
    steps,
    *,
    start_step=0,
    seed=0,
    crop_scale=(0.2, 1.0),
    crop_ratio=(3 / 4, 4 / 3),
    flip=True,
    group=1,
    shard=(0, 1),
):
    """Random crops without labels, for pre-training.

    Args:
        source: `ImageSource`.
        image_size: the side of the crops in pixels, or `(H, W)`.
        batch_size: int.
        steps: int, the step at which training ends, in batches.
        start_step: int, the first step wanted; the steps before it cost nothing.
        seed: int >= 0.
        crop_scale: (low, high), the crop's share of the picture's area.
        crop_ratio: (low, high), the crop's width / height.
        flip: bool, mirror half of the crops.
        group: int, neighbours that must be different images because they are mixed; divides
            `batch_size`. An epoch leaves out `len(source) % group` images, other ones each time.
        shard: (index, count): read only the index-th of count equal, contiguous parts of each batch.

    Returns:
        `tf.data.Dataset` of `steps - start_step` batches, uint8 (or float32)
        `(batch_size / count, H, W, C)`.

    Raises:
        DataError: an argument lies outside its range, the source has fewer than `group` images, or
            no image can be decoded.
    """
    view = RandomView(image_size, crop_scale, crop_ratio, flip)
    views = _training_views(source, batch_size, steps, start_step, seed, view, None, group, shard)
    return views.map(lambda images, numbers: images).prefetch(tf.data.AUTOTUNE)


def labelled_dataset(
    source,
    image_size,
    batch_size,
    *,
    targets,
    steps=None,
    start_step=0,
    seed=0,
    augmentation=None,
    shard=(0, 1),
):
    """Images with what they are to be, for training.

    Args:
        source: `ImageSource` with labels.
        image_size, batch_size, start_step, seed: as in `pretrain_dataset`.
        targets: function of a tensor of labels, such as class numbers int64 `(B,)`, that gives numbers
            `(B, ...)`; see `tasks.task.Task.targets`.
        steps: int, or None for an endless data set.
        augmentation: `Augmentation`, or None for central crops as they are. What works on batches
            (MixUp, CutMix, RandAugment) works on this shard's.
        shard: as in `pretrain_dataset`.

    Returns:
        `tf.data.Dataset` of `(images, targets)`: uint8 (or float32)
        `(batch_size / count, H, W, C)` and numbers `(batch_size / count, ...)`.

    Raises:
        DataError: as in `pretrain_dataset`; or there are no labels.
    """
    labels = labels_of(source)
    if augmentation is None:
        view = CentralView(image_size)
    else:
        crop = (augmentation.crop_scale, augmentation.crop_ratio, augmentation.flip)
        view = RandomView(image_size, *crop)
    end = _ENDLESS if steps is None else steps
    # The label is that of the image used, which is another one's where one failed to decode.
    views = _training_views(source, batch_size, end, start_step, seed, view, labels, shard=shard)
    batches = views.map(lambda images, labels: (images, targets(labels)))
    if augmentation is not None and augmentation.on_batches:
        numbers = tf.data.Dataset.range(start_step, end)
        batches = tf.data.Dataset.zip(batches, numbers).map(
            lambda batch, step: augmentation.apply(*batch, seed=(seed, step)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    return batches.prefetch(tf.data.AUTOTUNE)


def evaluation_dataset(source, image_size, batch_size, whole=False):
    """Central crops with labels, each image once and in order. The last batch may be smaller.

    Images that cannot be decoded are left out and recorded in `source.bad`.

    Args:
        source: `ImageSource` with labels.
        image_size: the side of the crops in pixels, or `(H, W)`.
        batch_size: int.
        whole: bool, all of an image, brought to the size, instead of its centre.

    Returns:
        `tf.data.Dataset` of `(images, labels)`: uint8 `(batch, H, W, 3)` and labels as they are shown
        with them, such as class numbers int64 `(batch,)`.

    Raises:
        DataError: there are no labels, or no image can be decoded.
    """
    triples = numbered_dataset(source, image_size, batch_size, whole)
    return triples.map(lambda images, labels, numbers: (images, labels))


def numbered_dataset(source, image_size, batch_size, whole=False):
    """`evaluation_dataset` of `(images, labels, numbers)`: which image of the source each one is."""
    check_positive(batch_size=batch_size)
    labels = labels_of(source)
    source.load_good(0, labelled=True)
    view = still_view(image_size, whole)
    shape, dtype = (*view.size, source.channels), source.dtype
    label_shape = labels.shape(view.size)

    def read(index):
        try:
            image, label = source.load_labelled(int(index), view.min_side)
        except DataError:
            if source.failure is not None:
                raise
            return np.zeros(shape, dtype), np.zeros(label_shape, labels.dtype), False
        place = view.place(size_of(image))
        return view.show(image, place), labels.show(label, place, view.size), True

    def load(index):
        kinds = (tf.as_dtype(dtype), tf.as_dtype(labels.dtype), tf.bool)
        image, label, good = tf.numpy_function(read, [index], kinds)
        return tf.ensure_shape(image, shape), tf.ensure_shape(label, label_shape), index, good

    loaded = tf.data.Dataset.range(len(source)).map(load, tf.data.AUTOTUNE, deterministic=True)
    good = loaded.filter(lambda image, label, index, good: tf.ensure_shape(good, ()))
    triples = good.map(lambda image, label, index, good: (image, label, index))
    return triples.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def load_arrays(source, image_size, limit=None, whole=False):
    """Central crops of a source as arrays.

    Args:
        source: `ImageSource`.
        image_size: the side of the crops in pixels, or `(H, W)`.
        limit: int, at most so many images, evenly spread over the source (and so over the classes
            of a folder); None for all.
        whole: see `evaluation_dataset`.

    Returns:
        `(images, labels)`: uint8 `(n, H, W, 3)` and class numbers int64 `(n,)`, or None where there
        are none. Images that cannot be decoded are left out and recorded in `source.bad`.

    Raises:
        DataError: no image can be decoded.
    """
    check_positive(limit=1 if limit is None else limit)
    view = still_view(image_size, whole)
    source.load_good(0)
    count = len(source) if limit is None else min(limit, len(source))
    wanted = np.arange(count) * len(source) // count

    def read(index):
        try:
            return view(source.load(int(index), view.min_side))
        except DataError:
            if source.failure is not None:
                raise
            return None

    with ThreadPoolExecutor() as pool:
        images = list(pool.map(read, wanted))
    good = [k for k, image in enumerate(images) if image is not None]
    if not good:
        raise DataError(f"None of the {count} images taken from '{source.name}' can be read.")
    labels = None if source.labels is None else source.labels[wanted[good]]
    return np.stack([images[k] for k in good]), labels


def aligned(shape, dtype):
    """An array whose memory TensorFlow takes as it is; of others it makes a copy."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % _ALIGNMENT
    return memory[begin : begin + size].view(dtype).reshape(shape)


def _training_views(
    source, batch_size, steps, start_step, seed, view, labels=None, group=1, shard=(0, 1)
):
    """Data set of `(views, labels)`: uint8 `(batch, H, W, 3)` and `(batch, ...)`.

    Without `labels` there are int64 numbers of the images in their place.
    """
    check_positive(batch_size=batch_size)
    check_training(source, batch_size, steps, start_step, seed, group, shard)
    labelled = labels is not None
    # If nothing can be decoded, say so here and not in the middle of fit.
    source.load_good(0, labelled=labelled)
    part, parts = shard
    local, crop = batch_size // parts, (*view.size, source.channels)
    label_shape = labels.shape(view.size) if labelled else ()
    kinds = (tf.as_dtype(source.dtype), tf.as_dtype(labels.dtype if labelled else "int64"))
    # A call from TensorFlow to Python costs more than a small image: several rows share one.
    rows = max(k for k in range(1, min(local, _ROWS_PER_CALL) + 1) if local % k == 0)
    calls = local // rows

    def show(position, out, by_window=view.by_window):
        wanted = image_at(position, len(source), seed, group)
        # The tile, where there are such, is drawn from a stream of its own.
        drawn = (seed, position, 1)
        found, index = source.load_good(wanted, view.min_side, drawn, labelled, by_window)
        image, label = found if labelled else (found, index)
        place = view.place(size_of(image), np.random.default_rng((seed, position)))
        try:
            view.show(image, place, out)
        except DataError:  # damaged: decoding all of it decides, as ever, and notes it
            if not by_window:
                raise
            return show(position, out, by_window=False)
        return labels.show(label, place, view.size) if labelled else label

    def read(first):
        views = aligned((rows, *crop), source.dtype)
        shown = [show(int(first) + k, views[k]) for k in range(rows)]
        return views, np.stack(shown).astype(kinds[1].as_numpy_dtype)

    def load(first):
        views, shown = tf.numpy_function(read, [first], kinds)
        shape, label = (rows, *crop), (rows, *label_shape)
        return tf.ensure_shape(views, shape), tf.ensure_shape(shown, label)

    def join(views, shown):
        shape, label = (local, *crop), (local, *label_shape)
        return tf.reshape(views, shape), tf.reshape(shown, label)

    firsts = tf.data.Dataset.range(start_step * calls, steps * calls).map(
        lambda call: call // calls * batch_size + part * local + call % calls * rows
    )
    views = firsts.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return views.batch(calls, drop_remainder=True).map(join)

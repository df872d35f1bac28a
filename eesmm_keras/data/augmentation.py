"""Augmentation for training with labels: RandAugment, erasing and mixing of whole batches."""

from dataclasses import dataclass
from functools import cached_property

import tensorflow as tf

from eesmm_keras.data._rand_augment import RandAugment
from eesmm_keras.data._stateless import beta, boxes, permutation, split, uniform
from eesmm_keras.data.crops import check_crop
from eesmm_keras.data.errors import DataError

# Random erasing (arXiv:1708.04896) removes 2 to 33 % of a picture: sides of sqrt(0.02 .. 0.33).
_ERASED_SIDE = (0.14, 0.57)


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images. The default is a random crop and a horizontal flip only.

    Args:
        rand_augment_magnitude: strength of RandAugment (arXiv:1909.13719) in [0, 1], or None for
            none. 0.9 on this scale is the "m9" of the usual recipes' scale of 10.
        rand_augment_ops: int >= 1, RandAugment operations per image.
        mixup_alpha: Beta parameter of MixUp (arXiv:1710.09412); 0 is off.
        cutmix_alpha: Beta parameter of CutMix (arXiv:1905.04899); 0 is off. Where both are on,
            each batch gets one of the two, with equal probability.
        erasing: share of the images that lose a rectangle to noise, in [0, 1]; 0 is off.
        crop_scale: (low, high), the crop's share of the picture's area.
        crop_ratio: (low, high), the crop's width / height.
        flip: bool, mirror half of the images. Wrong for digits and text.

    Raises:
        DataError: an argument lies outside its range.

    All random numbers are a pure function of the seed that `apply` is given.
    """

    rand_augment_magnitude: float | None = None
    rand_augment_ops: int = 2
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    erasing: float = 0.0
    crop_scale: tuple = (0.08, 1.0)
    crop_ratio: tuple = (3 / 4, 4 / 3)
    flip: bool = True

    def __post_init__(self):
        check_crop(self.crop_scale, self.crop_ratio)
        magnitude = self.rand_augment_magnitude
        if magnitude is not None and not 0 <= magnitude <= 1:
            raise DataError(f"rand_augment_magnitude must be None or in [0, 1], got {magnitude}.")
        if self.rand_augment_ops < 1:
            raise DataError(f"rand_augment_ops must be 1 or more, got {self.rand_augment_ops}.")
        if min(self.mixup_alpha, self.cutmix_alpha) < 0:
            raise DataError(
                "mixup_alpha and cutmix_alpha must be 0 (off) or more, got "
                f"{self.mixup_alpha} and {self.cutmix_alpha}."
            )
        if not 0 <= self.erasing <= 1:
            raise DataError(f"erasing must lie in [0, 1], got {self.erasing}.")

    @property
    def on_batches(self):
        """bool: whether `apply` changes anything."""
        mixes = self.mixup_alpha > 0 or self.cutmix_alpha > 0
        return self.rand_augment_magnitude is not None or self.erasing > 0 or mixes

    def apply(self, images, labels, seed):
        """RandAugment, erasing and mixing of one batch. Crops and flips happen at loading.

        Args:
            images: TensorFlow tensor `(batch, H, W, C)`, uint8 or float32, values of 0..255.
                RandAugment takes three channels alone.
            labels: float32 TensorFlow tensor `(batch, num_classes)`, one-hot.
            seed: two integers, such as a run's seed and the step.

        Returns:
            `(images, labels)`: of the same kind, and float32 rows that still add up to one.
        """
        pixels = tf.cast(images, tf.float32)
        pixels, labels = self._graph(pixels, labels, tf.cast(seed, tf.int64))
        if images.dtype.is_floating:
            return pixels, labels
        return tf.cast(tf.round(pixels), tf.uint8), labels

    @cached_property
    def _graph(self):
        # AutoGraph stays on: KerasCV's Equalization branches on tensors.
        rand_augment = None
        if self.rand_augment_magnitude is not None:
            rand_augment = RandAugment(self.rand_augment_magnitude, self.rand_augment_ops)

        @tf.function
        def augment(images, labels, seed):
            augment_seed, erase_seed, choice_seed, mix_seed = split(seed, 4)
            if rand_augment is not None:
                images = rand_augment(images, augment_seed)
            if self.erasing > 0:
                images = _erase(images, self.erasing, erase_seed)
            if self.mixup_alpha > 0 and self.cutmix_alpha > 0:
                images, labels = tf.cond(
                    uniform(choice_seed, ()) < 0.5,
                    lambda: _mixup(images, labels, self.mixup_alpha, mix_seed),
                    lambda: _cutmix(images, labels, self.cutmix_alpha, mix_seed),
                )
            elif self.mixup_alpha > 0:
                images, labels = _mixup(images, labels, self.mixup_alpha, mix_seed)
            elif self.cutmix_alpha > 0:
                images, labels = _cutmix(images, labels, self.cutmix_alpha, mix_seed)
            return tf.clip_by_value(images, 0.0, 255.0), labels

        return augment


def _erase(images, share, seed):
    """A share of the images loses a box to even noise (arXiv:1708.04896, "RE-R")."""
    chosen_seed, side_seed, box_seed, noise_seed = split(seed, 4)
    count, height, width, _ = tf.unstack(tf.shape(images))
    sides = uniform(side_seed, (count, 2), *_ERASED_SIDE)
    chosen = uniform(chosen_seed, (count, 1, 1, 1)) < share
    erased = chosen & boxes(box_seed, count, height, width, sides, inside=True)
    return tf.where(erased, uniform(noise_seed, tf.shape(images), maxval=256.0), images)


def _mixup(images, labels, alpha, seed):
    share_seed, partner_seed = split(seed, 2)
    count = tf.shape(images)[0]
    partner = permutation(partner_seed, count)
    share = beta(share_seed, (count, 1), alpha)
    return (
        images + share[..., None, None] * (tf.gather(images, partner) - images),
        (1.0 - share) * labels + share * tf.gather(labels, partner),
    )


def _cutmix(images, labels, alpha, seed):
    share_seed, partner_seed, box_seed = split(seed, 3)
    count, height, width, _ = tf.unstack(tf.shape(images))
    partner = permutation(partner_seed, count)
    side = tf.sqrt(beta(share_seed, (count, 1), alpha))
    foreign = boxes(box_seed, count, height, width, tf.tile(side, (1, 2)), inside=False)
    # The box may stick out of the picture: the labels go by what is seen of it.
    share = tf.reduce_mean(tf.cast(foreign, tf.float32), axis=(1, 2))
    return (
        tf.where(foreign, tf.gather(images, partner), images),
        (1.0 - share) * labels + share * tf.gather(labels, partner),
    )

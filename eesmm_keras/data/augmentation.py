"""Augmentation for training with labels: crops and flips here by name, the rest through KerasCV."""

from dataclasses import dataclass
from functools import cached_property

import keras
import tensorflow as tf

from eesmm_keras.data.decoding import check_crop
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

    The random numbers of RandAugment, MixUp, CutMix and erasing come from TensorFlow's global
    generator: `keras.utils.set_random_seed` seeds them, but tf.data draws them from several
    threads, so unlike crops and flips they are not repeated exactly from run to run.
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

    def apply(self, images, labels):
        """RandAugment, erasing and mixing of one batch. Crops and flips happen at loading.

        Args:
            images: TensorFlow tensor `(batch, H, W, 3)`, values of 0..255.
            labels: float32 TensorFlow tensor `(batch, num_classes)`, one-hot.

        Returns:
            `(images, labels)`: uint8, and float32 rows that still add up to one.
        """
        return self._graph(tf.cast(images, tf.float32), labels)

    @cached_property
    def _graph(self):
        # A graph, for outside of one KerasCV hands back tensors of the active Keras backend.
        # AutoGraph stays on: KerasCV's Equalization branches on tensors.
        layers = self._layers

        @tf.function
        def augment(images, labels):
            if "rand_augment" in layers:
                images = layers["rand_augment"](images)
            if "erase" in layers:
                chosen = tf.random.uniform((tf.shape(images)[0], 1, 1, 1)) < self.erasing
                images = tf.where(chosen, layers["erase"](images), images)
            if "mixup" in layers and "cutmix" in layers:
                images, labels = tf.cond(
                    tf.random.uniform(()) < 0.5,
                    lambda: _mixup(layers["mixup"], images, labels),
                    lambda: _cutmix(layers["cutmix"], images, labels),
                )
            elif "mixup" in layers:
                images, labels = _mixup(layers["mixup"], images, labels)
            elif "cutmix" in layers:
                images, labels = _cutmix(layers["cutmix"], images, labels)
            return tf.cast(tf.round(tf.clip_by_value(images, 0.0, 255.0)), tf.uint8), labels

        return augment

    @cached_property
    def _layers(self):
        import keras_cv  # takes seconds: only for those who augment

        # RandAugment makes its inner layers with the global policy, and half precision would
        # round pixel values.
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32")
        try:
            layers = {}
            if self.rand_augment_magnitude is not None:
                layers["rand_augment"] = keras_cv.layers.RandAugment(
                    value_range=(0, 255),
                    augmentations_per_image=self.rand_augment_ops,
                    magnitude=self.rand_augment_magnitude,
                )
            if self.erasing > 0:
                layers["erase"] = keras_cv.layers.RandomCutout(
                    _ERASED_SIDE, _ERASED_SIDE, fill_mode="gaussian_noise"
                )
            if self.mixup_alpha > 0:
                layers["mixup"] = keras_cv.layers.MixUp(self.mixup_alpha)
            if self.cutmix_alpha > 0:
                layers["cutmix"] = keras_cv.layers.CutMix(self.cutmix_alpha)
        finally:
            keras.config.set_dtype_policy(policy)
        return layers


def _mixup(layer, images, labels):
    mixed = layer({"images": images, "labels": labels}, training=True)
    return mixed["images"], mixed["labels"]


def _cutmix(layer, images, labels):
    # KerasCV's labels take the rectangle's area before it is cut off at the border, so they name
    # too large a share. A map of where every pixel came from goes along and tells the true one.
    own = tf.range(tf.shape(images)[0], dtype=tf.float32)[:, None, None, None]
    origin = own + tf.zeros_like(images[..., :1])
    mixed = layer({"images": images, "segmentation_masks": origin}, training=True)
    foreign = tf.cast(mixed["segmentation_masks"] != own, tf.float32)
    share = tf.reduce_mean(foreign, axis=(1, 2))
    partner = tf.reduce_sum(foreign * mixed["segmentation_masks"], axis=(1, 2))
    partner = tf.math.divide_no_nan(partner, tf.reduce_sum(foreign, axis=(1, 2)))
    partner = tf.cast(tf.round(partner[:, 0]), tf.int32)
    return mixed["images"], (1.0 - share) * labels + share * tf.gather(labels, partner)

"""Where images come from: a folder, a TFDS data set or scikit-learn's digits."""

from eesmm_keras.data._digits import open_digits
from eesmm_keras.data._folder import open_folder
from eesmm_keras.data._source import ImageSource, limit_source, plain_failures
from eesmm_keras.data._tfds import open_tfds
from eesmm_keras.data.decoding import allow_pixels
from eesmm_keras.data.errors import DataError

__all__ = ["ImageSource", "limit_source", "open_source", "plain_failures"]


def open_source(
    spec,
    split=None,
    *,
    data_dir=None,
    val_fraction=0.2,
    seed=0,
    labelled=False,
    max_image_pixels=None,
    follow_links=False,
):
    """Open images for pre-training, training or evaluation.

    Args:
        spec: what to open:
            - a folder, as str or path: `train/` and perhaps `val/` (or `validation/`) and `test/`
              inside, each with one folder per class or just images; or one folder per class; or
              images alone, in any folders;
            - `"tfds:NAME"` or `"tfds:NAME:SPLIT"`, a TensorFlow Datasets name, such as
              `"tfds:cifar10"` or `"tfds:imagenet_v2:test[:50%]"`;
            - `"digits"`: scikit-learn's 8 x 8 digits. For a folder of that name write `./digits`.
        split: None is everything that pre-training may see: the train part, or all there is where
            there are no parts. "train", "val" and "test" give the part of that name. Where there
            is no val part, "train" and "val" divide the train part, class by class, by `seed`.
            Where there is no test part, "test" is the same as "val", and `note` says so.
        data_dir: folder that holds TFDS data sets; None is TFDS's own default.
        val_fraction: share of every class that "val" takes where it is split off, in (0, 1).
        seed: int >= 0, for that division.
        labelled: bool. True demands labels of two or more classes.
        max_image_pixels: int, width x height of the largest picture that is decoded; None for
            `PIL.Image.MAX_IMAGE_PIXELS`, which rises for the whole process if this is larger.
        follow_links: bool, whether links that lead out of a folder are followed.

    Returns:
        An `ImageSource`. Files that are plainly no images, or cut short, are left out and listed in
        its `bad`; a folder is looked through once and remembered in the user's cache folder.

    Raises:
        DataError: there is nothing there, nothing readable, or no labels where they are demanded.
    """
    if seed < 0:
        raise DataError(f"seed must be 0 or more, got {seed}.")
    if max_image_pixels is not None and max_image_pixels < 1:
        raise DataError(f"max_image_pixels must be 1 or more, got {max_image_pixels}.")
    allow_pixels(max_image_pixels)
    if spec == "digits":
        return open_digits(split, val_fraction, seed)
    if isinstance(spec, str) and spec.startswith("tfds:"):
        source = open_tfds(spec, split, data_dir, val_fraction, seed, labelled)
        source.max_pixels = max_image_pixels
        return source
    return open_folder(spec, split, val_fraction, seed, labelled, max_image_pixels, follow_links)

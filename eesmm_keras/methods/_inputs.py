"""What `fit` of a method is given, as batches of images."""

import copy
import os
import warnings

import numpy as np

from eesmm_keras.errors import UserError
from eesmm_keras.names import counted


def images_only(data):
    """Images of a batch that may hold labels too."""
    return data[0] if isinstance(data, tuple | list) else data


def training_images(x, image_shape):
    """`x` of `fit`, checked; a PyTorch loader of images alone as Keras takes it.

    Raises:
        UserError: an array that holds no images of this shape, or NumPy's with numbers that are not
            finite; a list of images; a path.
    """
    if isinstance(x, str | os.PathLike):
        raise UserError(
            f"fit takes images, got the path {str(x)!r}. eesmm pretrain --data reads folders; "
            "keras.utils.image_dataset_from_directory(..., labels=None) makes batches of one."
        )
    if isinstance(x, list):
        raise UserError(f"fit takes one array of images, got a list of {len(x)}: np.stack(images).")
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        _check_array(x, image_shape)
    elif type(x).__module__.startswith("torch.utils.data"):
        x = copy.copy(x)
        # Set so, because a loader refuses to be changed; this one is ours.
        x.__dict__["collate_fn"] = _InTuple(x.collate_fn)
        _warn_if_scaled(next(iter(x))[0])
    return x


def _check_array(x, image_shape):
    shape, wanted = tuple(x.shape), tuple(image_shape)
    if shape[1:] != wanted:
        hint = ""
        if shape[1:] == (wanted[2], *wanted[:2]):
            hint = " Channels come last: np.moveaxis(images, 1, -1)."
        raise UserError(
            f"fit takes images (B, {', '.join(map(str, wanted))}), channels last, pixel values "
            f"0..255; got an array of shape {shape}.{hint}"
        )
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        _check_finite(x)
    _warn_if_scaled(x[:8])


def _check_finite(images):
    if np.isfinite(np.sum(images, dtype="float64")):
        return
    bad = np.flatnonzero(~np.isfinite(np.sum(images, axis=(1, 2, 3), dtype="float64")))
    raise UserError(
        f"{counted(len(bad), 'image')} of {len(images)} hold pixels that are not finite (the first: "
        f"images[{bad[0]}]). Leave them out, or replace these pixels."
    )


def _warn_if_scaled(images):
    """Warn of pixel values that are not 0..255: divided by 255, or of 16 bits."""
    import keras

    images = keras.ops.convert_to_numpy(images)
    if images.dtype.kind == "f" and images.size and images.max() <= 1.0:
        warnings.warn(
            "The images' pixel values lie in 0..1, and 0..255 is expected: they would train as nearly "
            "black. Multiply them by 255.",
            stacklevel=4,
        )
    elif images.size and images.max() > 255:
        warnings.warn(
            f"The images' pixel values reach {images.max():g}, and 0..255 is expected. Divide those of "
            "16 bits by 257.",
            stacklevel=4,
        )


class _InTuple:
    """A loader's `collate_fn` with its batch in a tuple: Keras 3.15 cannot take a bare tensor."""

    def __init__(self, collate):
        self.collate = collate

    def __call__(self, samples):
        batch = self.collate(samples)
        return batch if isinstance(batch, tuple | list) else (batch,)

"""What `fit` of a method is given, as batches of images."""

import copy
import warnings

from eesmm_keras.errors import UserError


def images_only(data):
    """Images of a batch that may hold labels too."""
    return data[0] if isinstance(data, tuple | list) else data


def training_images(x, image_shape):
    """`x` of `fit`, checked; a PyTorch loader of images alone as Keras takes it.

    Raises:
        UserError: an array that holds no images of this shape.
    """
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
    _warn_if_scaled(x[:8])


def _warn_if_scaled(images):
    """Warn of pixel values that look as if they were divided by 255."""
    import keras

    images = keras.ops.convert_to_numpy(images)
    if images.dtype.kind == "f" and images.size and images.max() <= 1.0:
        warnings.warn(
            "The images' pixel values lie in 0..1, and 0..255 is expected: they would train as nearly "
            "black. Multiply them by 255.",
            stacklevel=4,
        )


class _InTuple:
    """A loader's `collate_fn` with its batch in a tuple: Keras 3.15 cannot take a bare tensor."""

    def __init__(self, collate):
        self.collate = collate

    def __call__(self, samples):
        batch = self.collate(samples)
        return batch if isinstance(batch, tuple | list) else (batch,)

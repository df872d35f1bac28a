"""Pictures of which some pixels are wanted: only those are decoded, where the format allows it."""

import numpy as np
from PIL import Image

from eesmm_keras.data.decoding import pixel_limit, read_rgb, reason_of
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.jpeg import decoded_window, decoders_agree, shrinks


class Picture:
    """An 8-bit RGB picture, not all of which may be decoded.

    Attributes:
        size: `(width, height)` in pixels.
    """

    def __init__(self, size):
        self.size = size

    def window(self, left, top, right, bottom):
        """Some of its pixels.

        Returns:
            `(pixels, x, y)`: uint8 `(h, w, 3)`, C-contiguous, of at least the window; and the column
            and row at which they begin.
        """
        raise NotImplementedError

    def image(self):
        """All of it: a loaded `PIL.Image.Image` of mode "RGB"."""
        raise NotImplementedError


class LoadedPicture(Picture):
    """A picture that Pillow has loaded.

    Args:
        image: `PIL.Image.Image` of mode "RGB".
    """

    def __init__(self, image):
        super().__init__(image.size)
        self._image = image

    def image(self):
        return self._image

    def window(self, left, top, right, bottom):
        data = self._image.crop((left, top, right, bottom)).tobytes()
        pixels = np.frombuffer(data, np.uint8).reshape(bottom - top, right - left, 3)
        return pixels, left, top


class PixelPicture(Picture):
    """A picture as an array.

    Args:
        pixels: uint8 `(H, W, 3)`, C-contiguous.
    """

    def __init__(self, pixels):
        super().__init__((pixels.shape[1], pixels.shape[0]))
        self._pixels = pixels

    def image(self):
        return Image.fromarray(self._pixels)

    def window(self, left, top, right, bottom):
        return self._pixels[top:bottom], 0, top


class _Jpeg(Picture):
    """A JPEG file.

    Args:
        data: bytes. size: `(width, height)`.
    """

    def __init__(self, data, size):
        super().__init__(size)
        self._data = data

    def image(self):
        return read_rgb(self._data)


class PlainJpeg(_Jpeg):
    """One of `jpeg.plain_jpeg`, of which it is not known whether it is damaged; see `_Jpeg`."""

    def window(self, left, top, right, bottom):
        """As `Picture.window`.

        Raises:
            DataError: the file is damaged, or so it seems to TensorFlow.
        """
        try:
            # Down to the last row, so that damage shows wherever it is.
            return decoded_window(self._data, self.size, left, top, right, self.size[1])
        except Exception as error:
            raise DataError(f"cannot be decoded: {reason_of(error)}") from error


class StoredPicture(Picture):
    """A picture as `eesmm prepare` stored it, whose bytes are known to be whole."""

    def whole(self):
        """What else an item of an `ImageSource` is: the bytes of a file, or an array."""
        raise NotImplementedError

    def gives_windows(self, min_side, max_pixels):
        """Whether they are windows of what `decoding.read_rgb` reads; arguments: see there."""
        return True


class StoredPixels(PixelPicture, StoredPicture):
    """Pixels, row by row; see `PixelPicture`."""

    def whole(self):
        return self._pixels


class StoredJpeg(_Jpeg, StoredPicture):
    """A JPEG file; see `_Jpeg`."""

    def whole(self):
        return self._data

    def gives_windows(self, min_side, max_pixels):
        width, height = self.size
        return not shrinks(self.size, min_side) and width * height <= pixel_limit(max_pixels)

    def window(self, left, top, right, bottom):
        if decoders_agree():
            return decoded_window(self._data, self.size, left, top, right, bottom)
        return LoadedPicture(self.image()).window(left, top, right, bottom)

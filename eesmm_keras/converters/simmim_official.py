import numpy as np

from eesmm_keras.converters.swin_layout import OFFICIAL_NAMES, SwinLayout


class SimMIMOfficial(SwinLayout):
    """The official code of SimMIM on Swin (Xie et al., 2022), with its mask token and linear head."""

    title = "SimMIM of the official code"
    anchor = "patch_embed.proj.weight"
    names = OFFICIAL_NAMES
    outside = {"mask_token": "mask_token", "head": "decoder.0"}
    note = "MIT, for the weights that were released with the official code"
    checked = "the official code, run"
    rank = 1

    def matches(self, names, outer):
        return "decoder.0.weight" in outer and "layers.0.downsample.norm.weight" in names

    def array(self, path, weights):
        array = super().array(path, weights)
        return None if array is None else simmim_array(path, array)


def simmim_array(path, array):
    """Mask token and head of SimMIM as ours.

    Their head makes the pixels of a unit channel by channel, ours row by row, channels last.
    """
    if path == "mask_token":
        return array.reshape(-1)
    if path.startswith("head/"):
        pixels = array.shape[-1]
        channels = next(c for c in (3, 1, *range(2, pixels + 1)) if _square(pixels / c))
        side = round((pixels / channels) ** 0.5)
        order = np.arange(pixels).reshape(channels, side, side).transpose(1, 2, 0).reshape(-1)
        return array[..., order]
    return array


def _square(number):
    return number.is_integer() and round(number**0.5) ** 2 == number

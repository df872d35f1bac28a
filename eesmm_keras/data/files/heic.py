from functools import cache

from eesmm_keras.data.file_format import FileFormat, need


class Heic(FileFormat):
    """HEIC, what phones write, decoded to 8 bits. It needs the extra `heic`."""

    suffixes = (".heic", ".heif")
    starts = ((4, b"ftypheic"), (4, b"ftypheix"), (4, b"ftypmif1"))
    pillow = "HEIF"

    def prepare(self):
        need("pillow_heif", "heic", "a HEIC file")
        _register()


@cache
def _register():
    import pillow_heif

    pillow_heif.register_heif_opener()

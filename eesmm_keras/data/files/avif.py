from eesmm_keras.data.file_format import FileFormat


class Avif(FileFormat):
    """AVIF, decoded to 8 bits."""

    suffixes = (".avif",)
    starts = ((4, b"ftypavif"), (4, b"ftypavis"))
    pillow = "AVIF"

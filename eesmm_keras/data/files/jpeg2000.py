from eesmm_keras.data.file_format import FileFormat


class Jpeg2000(FileFormat):
    """JPEG 2000: 8 bits, or one channel of 16."""

    suffixes = (".jp2", ".j2k", ".jpx")
    starts = ((0, b"\x00\x00\x00\x0cjP  "), (0, b"\xff\x4f\xff\x51"))
    pillow = "JPEG2000"

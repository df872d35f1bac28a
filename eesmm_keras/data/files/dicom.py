from contextlib import contextmanager

import numpy as np

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.file_format import FileFormat, Picture, check_sizes, need


class Dicom(FileFormat):
    """DICOM pictures: rescaled as their slope and intercept say (CT: Hounsfield units), dark as 0.

    MONOCHROME1, where 0 is white, is turned round. Compressed ones need what pydicom names. It needs
    the extra `dicom`.
    """

    suffixes = (".dcm", ".dicom")
    starts = ((128, b"DICM"),)

    @contextmanager
    def open(self, file, pages="first"):
        need("pydicom", "dicom", "a DICOM file")
        import pydicom

        data = pydicom.dcmread(file)
        if "Rows" not in data or "PixelData" not in data:
            raise DataError("is a DICOM file without a picture")
        if data.PhotometricInterpretation == "PALETTE COLOR":
            raise DataError("is a DICOM file of palette colours; save it as RGB")
        rows, columns, samples = data.Rows, data.Columns, data.SamplesPerPixel
        frames = int(data.get("NumberOfFrames") or 1)
        shown = frames if pages == "all" else 1
        slope, intercept = (
            float(data.get("RescaleSlope", 1)),
            float(data.get("RescaleIntercept", 0)),
        )
        rescaled = (slope, intercept) != (1.0, 0.0)

        def read(top, left, height, width):
            # pydicom decodes all frames at once.
            check_sizes(columns, rows, samples * frames, np.dtype("uint16"))
            array = data.pixel_array.reshape(frames, rows, columns, samples)[:shown]
            if data.PhotometricInterpretation == "MONOCHROME1":
                array = _turned(array, data)
            if rescaled:
                array = array * np.float32(slope) + np.float32(intercept)
            array = np.moveaxis(array, 0, 2).reshape(rows, columns, samples * shown)
            return array[top : top + height, left : left + width]

        yield Picture(columns, rows, samples * shown, _kind(data, rescaled), read)


def _turned(array, data):
    """White for black, over the range that the stored bits have: the same for every picture."""
    last = 2**data.BitsStored - 1 if data.PixelRepresentation == 0 else -1
    return (last - array.astype(np.int64)).astype(array.dtype)


def _kind(data, rescaled):
    if rescaled:
        return "float32"
    bits = 8 if data.BitsAllocated <= 8 else data.BitsAllocated
    return f"{'int' if data.PixelRepresentation else 'uint'}{bits}"

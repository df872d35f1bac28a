"""Small data under the names that README and docs use, for running what stands there."""

import shutil
import tarfile

import numpy as np
from PIL import Image
from weights_files import FOREIGN

from mask_data import make_masks


def _pictures(folder, count, seed, suffix="png"):
    """Blots of one colour on noise, another colour for each seed."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        pixels = rng.integers(0, 90, (30, 36, 3), "uint8")
        x, y = rng.integers(0, 16, 2)
        pixels[y : y + 14, x : x + 14, seed % 3] = 230
        Image.fromarray(pixels).save(folder / f"{i:02}.{suffix}")


def photos(root):
    _pictures(root / "photos", 16, 0, "jpg")


def photo(root):
    for name in ("photo.jpg", "one.jpg"):
        Image.fromarray(np.full((40, 50, 3), 120, "uint8")).save(root / name)


def labelled(root):
    for seed, name in enumerate(("cats", "dogs", "owls")):
        for part, count in (("train", 12), ("test", 8)):
            _pictures(root / "labelled" / part / name, count, seed)


def shards(root):
    """Two tar shards, as WebDataset writes them."""
    (root / "shards").mkdir()
    for number, part in enumerate(("a", "b")):
        _pictures(root / part, 8, number)
        with tarfile.open(root / "shards" / f"train-{number:03}.tar", "w") as file:
            for path in sorted((root / part).iterdir()):
                file.add(path, f"{part}{path.name}")


def streets(root):
    make_masks(root / "streets", 12, part="train")
    make_masks(root / "streets", 4, part="test", seed=1)


def scenes(root):
    """TIFF of four bands of 16 bits."""
    import tifffile

    rng = np.random.default_rng(0)
    (root / "scenes").mkdir()
    for i in range(8):
        image = rng.integers(0, 4000, (300, 280, 4)).astype(np.uint16)
        tifffile.imwrite(
            root / "scenes" / f"{i}.tif", image, photometric="minisblack", planarconfig="contig"
        )


def xrays(root):
    """DICOM of 12 bits."""
    import pydicom

    rng = np.random.default_rng(0)
    (root / "xrays").mkdir()
    for i in range(8):
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
        meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        data = pydicom.dataset.FileDataset(f"{i}", {}, file_meta=meta, preamble=b"\0" * 128)
        data.Rows, data.Columns, data.SamplesPerPixel = 40, 32, 1
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
        data.PixelData = rng.integers(0, 4096, (40, 32)).astype("<u2").tobytes()
        data.save_as(root / "xrays" / f"{i}.dcm", enforce_file_format=True)


def downloads(root):
    """The official MAE's file, and a folder as the hub has it."""
    import torch
    from transformers import SwinConfig, SwinModel
    from weights_files import arrays

    folder = root / "downloads"
    sizes = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4}
    SwinModel(SwinConfig(image_size=32, patch_size=2, **sizes)).save_pretrained(folder / "swin")
    shutil.copy(folder / "swin" / "model.safetensors", folder / "swin.safetensors")
    values = arrays(FOREIGN / "mae_official.safetensors")
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in values.items()}
    torch.save({"model": tensors}, folder / "mae_pretrain_vit_base.pth")

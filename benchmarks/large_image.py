"""Memory of `eesmm predict` on one image that is larger than memory should hold.

python benchmarks/large_image.py [--side 20000] [--tile 256]

A TIFF of `side` x `side` RGB pixels in tiles of 512, compressed, half noise and half plain, is
asked about tile by tile with a small classifier of random weights. Printed are the bytes of its
pixels and the peak of the process.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_TILE = 512
_ENCODER = "swin_mini_32:depths=[1, 2]:num_heads=[2, 2]:embed_dim=16"


def write(path, side):
    """A large TIFF, tile by tile."""
    import tifffile

    rng, count = np.random.default_rng(0), -(-side // _TILE)

    def tiles():
        for number in range(count * count):
            noise = rng.integers(0, 256, (_TILE, _TILE, 3), "uint8")
            yield noise if number % 2 else np.full_like(noise, number % 256)

    with tifffile.TiffWriter(path) as file:
        file.write(
            tiles(), shape=(side, side, 3), dtype="uint8", tile=(_TILE, _TILE), photometric="rgb",
            compression="zlib",
        )  # fmt: skip


def predict(folder, tile):
    """In a process of its own: peak in GiB and seconds."""
    from eesmm_keras.answers.predicting import predict
    from eesmm_keras.backbones import from_preset
    from eesmm_keras.tasks.image_classifier import ImageClassifier

    weights = folder / "classifier.keras"
    ImageClassifier(from_preset(_ENCODER), 3, ("a", "b", "c")).save(weights)
    begin = time.monotonic()
    predict(weights, folder / "images", folder / "predictions.csv", tile=tile)
    seconds = time.monotonic() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak {peak:.2f} GiB, TensorFlow included, {seconds:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=20000)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--inside", type=Path, help="used by the script itself")
    asked = parser.parse_args()
    if asked.inside:
        predict(asked.inside, asked.tile)
        return
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "images").mkdir()
        write(Path(place) / "images" / "large.tif", asked.side)
        print(f"{asked.side} x {asked.side} pixels: {3 * asked.side**2 / 2**30:.2f} GiB of numbers")
        sys.stdout.flush()
        command = [sys.executable, __file__, "--tile", str(asked.tile), "--inside", place]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()

"""Time and memory of the index of a very large folder, made of hard links to one small picture.

python benchmarks/index.py --images 1000000 --work /tmp/index
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

# Links to one file that a file system allows, with room to spare.
_LINKS = 30_000
_PER_FOLDER = 1000


def make(folder, count):
    """`count` images in class folders of a thousand."""
    source = None
    for i in range(count):
        where = folder / f"class_{i // _PER_FOLDER:05}"
        if i % _PER_FOLDER == 0:
            where.mkdir(parents=True)
        path = where / f"photograph_{i:08}.jpg"
        if i % _LINKS == 0:
            Image.effect_noise((64, 48), 60).convert("RGB").save(path, quality=80)
            source = path
        else:
            os.link(source, path)


def measure(folder):
    """Open the folder in this process: seconds, and what it adds to the memory in MiB."""
    from eesmm_keras.data.sources import open_source

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    source = open_source(folder, labelled=True)
    seconds = time.perf_counter() - begin
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    with open("/proc/self/status") as status:
        now = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    held = (now - before) / 1024
    print(f"{len(source)} images: {seconds:.1f} s, peak {peak:.0f} MiB, held {held:.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="Where to put the images. Default: temporary.")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        return measure(arguments.measure)
    work = Path(tempfile.mkdtemp(dir=arguments.work))
    try:
        make(work / "images", arguments.images)
        command = [sys.executable, __file__, "--measure", str(work / "images")]
        for what in ("first", "again"):  # each in a process of its own, for its memory
            print(what, end=" ", flush=True)
            env = {**os.environ, "EESMM_CACHE": str(work / "cache")}
            subprocess.run(command, check=True, env=env)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()

"""Time and memory of data in bulk: tar shards, Parquet and TFDS of many small JPEGs.

python benchmarks/bulk.py --records 500000 --work /tmp/bulk

Each is opened twice, each time in a process of its own (the first time fills the user's cache), and
then read at random. "held" is the memory that opening adds, "after reading" what the random reads add
to that: constant memory means that neither grows with the bytes of the data.
"""

import argparse
import functools
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

_SHARD = 10_000
_READS = 20_000


def pictures(count):
    """`(number, encoded JPEG)`: a few hundred different ones by turns."""
    rng, made = np.random.default_rng(0), []
    for _ in range(min(count, 256)):
        buffer = io.BytesIO()
        noise = rng.integers(0, 256, (3, 4, 3), np.uint8).repeat(12, 0).repeat(12, 1)
        Image.fromarray(noise).save(buffer, "JPEG", quality=90)
        made.append(buffer.getvalue())
    return ((i, made[i % len(made)]) for i in range(count))


def make_tars(folder, count):
    tar = None
    for i, data in pictures(count):
        if i % _SHARD == 0:
            if tar:
                tar.close()
            tar = tarfile.open(folder / f"train-{i // _SHARD:05}.tar", "w")  # noqa: SIM115
        for suffix, content in (("jpg", data), ("cls", str(i % 10).encode())):
            member = tarfile.TarInfo(f"{i:09}.{suffix}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    tar.close()
    return f"wds:{folder}", {}


def make_parquet(folder, count):
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", kind), ("label", pa.int64())])
    with pq.ParquetWriter(folder / "train-0.parquet", schema) as writer:
        rows = []
        for i, data in pictures(count):
            rows.append({"image": {"bytes": data, "path": f"{i}.jpg"}, "label": i % 10})
            if len(rows) == 1000 or i == count - 1:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
    return f"parquet:{folder}", {}


def make_tfds(folder, count, file_format):
    import tensorflow_datasets as tfds

    class MadeUp(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(36, 48, 3)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
            features = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, manager):
            rows = ((i, {"image": io.BytesIO(d), "label": i % 10}) for i, d in pictures(count))
            return {"train": rows}

        def _generate_examples(self):
            raise NotImplementedError

    MadeUp(data_dir=folder, file_format=file_format).download_and_prepare()
    return "tfds:made_up", {"data_dir": str(folder)}


KINDS = {
    "tar shards": make_tars,
    "Parquet": make_parquet,
    "TFDS, ArrayRecord": functools.partial(make_tfds, file_format="array_record"),
    "TFDS, TFRecord": functools.partial(make_tfds, file_format="tfrecord"),
}


def memory(what="VmRSS"):
    """MiB that this process holds; "VmHWM": held at most, without what its parent held."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what)) / 1024


def measure(spec, where):
    from eesmm_keras.data.sources import open_source

    if spec.startswith("tfds:"):
        # What its import takes is no cost of the data.
        import tensorflow  # noqa: F401
        import tensorflow_datasets  # noqa: F401
    before, begin = memory(), time.perf_counter()
    source = open_source(spec, labelled=True, **where)
    seconds, held = time.perf_counter() - begin, memory() - before
    peak = memory("VmHWM") - before
    chosen = np.random.default_rng(0).integers(0, len(source), _READS).tolist()
    begin = time.thread_time()
    for i in chosen:
        source.load(i)
    speed = _READS / (time.thread_time() - begin)
    print(
        f"{len(source)} | {seconds:.1f} | {held:.0f} | {peak:.0f} | {memory() - before - held:.0f} | "
        f"{speed:.0f} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--work", type=Path, help="Where to put the data. Default: temporary.")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--measure", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        spec, *folder = arguments.measure
        return measure(spec, {"data_dir": folder[0]} if folder else {})
    if arguments.work:
        arguments.work.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=arguments.work))
    env = {**os.environ, "EESMM_CACHE": str(work / "cache")}
    print("| data | opened | images | s | held, MiB | peak, MiB | after reading, MiB | images/s |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    try:
        for k, kind in enumerate(arguments.kinds):
            folder = work / f"data{k}"
            folder.mkdir()
            spec, where = KINDS[kind](folder, arguments.records)
            size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 2**20
            for what in ("first", "again"):
                print(f"| {kind}, {size:.0f} MiB | {what} | ", end="", flush=True)
                command = [sys.executable, __file__, "--measure", spec, *where.values()]
                subprocess.run(command, check=True, env=env)
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()

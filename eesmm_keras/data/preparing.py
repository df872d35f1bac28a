"""`eesmm prepare`: images of any size to shards of one size, which are read faster."""

import io
import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.places import place_of
from eesmm_keras.data.shards import COLUMNS, INDEX, KIND, VERSION, read_columns
from eesmm_keras.data.sources import open_source
from eesmm_keras.data.splits import NO_TEST
from eesmm_keras.data.tfrecords import AFTER, BEFORE
from eesmm_keras.names import counted
from eesmm_keras.progress import track

_ASKED = "asked.json"


def prepare(data, out, size=256, raw=False, quality=90, per_shard=2048, say=None, **where):
    """Write shards, see `data.shards`; stopped anywhere, the same call goes on behind the last one.

    The shorter side of a picture becomes `size` pixels (antialiased, Lanczos); one that is no larger
    stays as it is. Order and parts are those of the data, so that training sees the same images at the
    same steps.

    Args:
        data: see `open_source`. out: folder or address (`places.Address`), new or of the same call.
        size: of the shorter side, in pixels.
        raw: arrays of 8 bits instead of JPEG: larger, and faster to read.
        quality: of JPEG, 1 to 95. per_shard: images in a shard.
        say: takes lines for the screen; None: nobody reads them.
        where: data_dir, max_image_pixels, follow_links: see `open_source`.

    Returns:
        dict: what index.json holds.

    Raises:
        DataError: the data cannot be opened or are no 8-bit RGB; `out` holds something else.
    """
    out, say = place_of(out), say or (lambda line: None)
    sources = parts_of(data, **where)
    if not all(source.reading.plain for source in sources.values()):
        raise DataError(f"'{data}' holds native pixels, and prepare writes 8-bit RGB pictures.")
    if any(source.annotations and source.labels is None for source in sources.values()):
        raise DataError(f"'{data}' has labels that are no class numbers: prepare would lose them.")
    asked = {
        "images": {part: len(source) for part, source in sources.items()}, "size": size, "raw": raw,
        "quality": None if raw else quality, "per_shard": per_shard, "data": os.path.abspath(str(data)),
    }  # fmt: skip
    _claim(out, asked)
    shards, bad, images = {}, [], 0
    for part, source in sources.items():
        starts = range(0, len(source), per_shard)
        shards[part] = [f"{part}-{number:05d}" for number in range(len(starts))]
        for name, start in zip(shards[part], starts, strict=True):
            numbers = range(start, min(start + per_shard, len(source)))
            columns = _whole(out, name) or _write(out, name, source, numbers, asked)
            bad += columns["bad"].tolist()
            images += len(columns["offsets"])
    if not images:
        raise DataError(f"None of the images of '{data}' can be read.")
    names = sources["train"].class_names
    index = {
        "kind": KIND, "version": VERSION, "size": size, "raw": raw, "parts": shards,
        "class_names": names and list(names), "images": images, "bad_images": len(bad),
        "made_from": asked,
    }  # fmt: skip
    if bad:
        lines = "".join(f"{line}\n" for line in bad)
        out.write("bad_images.txt", lines.encode())
        say(f"{counted(len(bad), 'image')} could not be read: {out.file('bad_images.txt')}")
    out.write(INDEX, json.dumps(index, indent=1).encode())
    return index


def parts_of(data, **where):
    """`{part: ImageSource}` of the parts that the data themselves have, the train part first."""
    found = {"train": open_source(data, None, **where)}
    train, val, test = (_opened(data, part, where) for part in ("train", "val", "test"))
    # Where there is no val part, it is split off the train part; no test part is the val part.
    if val is not None and train is not None and len(train) + len(val) > len(found["train"]):
        found["val"] = val
    if test is not None and NO_TEST not in test.note:
        found["test"] = test
    return found


def _opened(data, part, where):
    """A part of the data; None where there is none and none can be split off."""
    try:
        return open_source(data, part, **where)
    except DataError:
        return None


def _claim(out, asked):
    """Make the folder, or see that it is of the same call."""
    anything, content = out.claim(), out.read(_ASKED)
    there = None if content is None else json.loads(content)
    if there is None and anything:
        raise DataError(f"{out} is not empty. Choose another --out.")
    if there not in (None, asked):
        changed = ", ".join(key for key in asked if there.get(key) != asked[key])
        raise DataError(f"{out} was begun with another {changed}. Choose another --out.")
    out.write(_ASKED, json.dumps(asked).encode())


def _whole(out, name):
    """Columns of a shard that an earlier call has finished, or None."""
    there = out.size(f"{name}.tfrecord")
    if there is None or out.size(f"{name}.npz") is None:
        return None
    found = read_columns(out, name)
    return found if there == int(found["length"]) else None


def _short(name, data):
    """A name of an image, relative to the folder of the data where it lies in one."""
    root = os.path.join(str(data), "")
    return name.removeprefix(root)


def _write(out, name, source, numbers, asked):
    """One shard, whole or not at all: its columns."""
    with out.under_way(f"{name}.tfrecord") as partial:
        columns = _fill(partial, name, source, numbers, asked)
        if partial.stat().st_size != columns["length"]:
            raise DataError(f"{partial} was not written whole: is the disk full?")
    file = io.BytesIO()
    np.savez(file, **columns)
    out.write(f"{name}.npz", file.getvalue())
    return columns


def _fill(path, name, source, numbers, asked):
    """Write the records of a shard to a local file: its columns."""
    import tensorflow as tf

    size, raw, quality = asked["size"], asked["raw"], asked["quality"]

    def picture(i):
        try:
            image = resized(source.load(i, size), size)
        except DataError as error:
            return None, None, str(error)
        return encoded(image, raw, quality), image.size, None

    rows, names, bad, position = [], [], [], 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool, \
            tf.io.TFRecordWriter(str(path)) as file:  # fmt: skip
        found = track(pool.map(picture, numbers), len(numbers), name, count=lambda one: 1)
        for i, (data, sides, reason) in zip(numbers, found, strict=True):
            if reason:
                bad.append(reason)
                continue
            label = -1 if source.labels is None else int(source.labels[i])
            names.append(os.fsencode(_short(source.describe(i), source.name)))
            content = example(data, sides, label, names[-1], raw)
            file.write(content)
            width, height = sides
            start = position + BEFORE + content.index(data)
            rows.append((start, len(data), height, width, label, zlib.crc32(data)))
            position += BEFORE + len(content) + AFTER
    table = np.array(rows, np.int64).reshape(-1, len(COLUMNS))
    columns = dict(zip(COLUMNS, table.T, strict=True))
    columns.update(
        blob=np.frombuffer(b"".join(names), np.uint8), ends=np.cumsum([len(n) for n in names]),
        length=np.int64(position), bad=np.array(bad, np.str_),
    )  # fmt: skip
    return columns


def resized(image, size):
    """A picture whose shorter side is `size` pixels; one that is no larger stays as it is."""
    width, height = image.size
    if min(width, height) <= size:
        return image
    share = size / min(width, height)
    sides = max(size, round(width * share)), max(size, round(height * share))
    return image.resize(sides, Image.Resampling.LANCZOS, reducing_gap=3.0)


def encoded(image, raw, quality):
    """Bytes of a picture: its pixels row by row, or a JPEG file."""
    if raw:
        return np.asarray(image).tobytes()
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def example(data, sides, label, name, raw):
    """A serialized `tf.train.Example`."""
    import tensorflow as tf

    def numbers(value):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    def text(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        "image/raw" if raw else "image/encoded": text(data), "image/width": numbers(sides[0]),
        "image/height": numbers(sides[1]), "image/class/label": numbers(label),
        "image/filename": text(name),
    }  # fmt: skip
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()

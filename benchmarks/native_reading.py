"""Prepared shards read by TensorFlow's operations alone, beside our pipeline.

    taskset -c 0 python benchmarks/native_reading.py

The native side reads each record at its offset (`TFRecordDatasetV2`), decodes the crop of a JPEG, or
cuts it out of the pixels, resamples it antialiased (`ScaleAndTranslate`), mirrors half and batches, in
one graph; its boxes are drawn before. "resampling alone" is `ScaleAndTranslate` on decoded crops.
Speeds are images per second of processor time over all threads; ratios are medians over turns that
stand side by side.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

SIDE, BATCH, STEPS = 224, 64, 16


def boxes(shards, count):
    """Random resized crops, mirrored or not: `(numbers, boxes, mirrored)` of `count` pictures."""
    import numpy as np

    from eesmm_keras.data.crops import random_box

    rng = np.random.default_rng(0)
    numbers = rng.permutation(np.arange(count) % len(shards))
    found = []
    for number in numbers:
        left, top, right, bottom = random_box(
            shards[number].size, SIDE, rng, (0.2, 1.0), (3 / 4, 4 / 3)
        )
        found.append((top, left, bottom - top, right - left))
    return numbers, np.array(found, np.int32), rng.random(count) < 0.5


def resampled(crop):
    """`(h, w, 3)` uint8 to `(SIDE, SIDE, 3)`."""
    import tensorflow as tf

    height, width = tf.unstack(tf.shape(crop)[:2])
    pixels = tf.raw_ops.ScaleAndTranslate(
        images=crop[None], size=[SIDE, SIDE], kernel_type="triangle", antialias=True,
        scale=tf.cast([SIDE / height, SIDE / width], tf.float32), translation=[0.0, 0.0],
    )  # fmt: skip
    return tf.cast(tf.round(pixels[0]), tf.uint8)


def native(folder, shards, raw):
    """A function that gives the rate of TensorFlow's operations over one shard."""
    import tensorflow as tf

    from eesmm_keras.data.tfrecords import BEFORE, record_extents

    (file,) = map(str, folder.glob("*.tfrecord"))
    key = "image/raw" if raw else "image/encoded"
    starts = record_extents(file)[0] - BEFORE
    numbers, places, mirrored = boxes(shards, BATCH * STEPS)
    sides = [shards[number].size[::-1] for number in numbers]

    def record(start, *others):
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=[file], compression_type="", buffer_size=0, byte_offsets=start[None]
        )
        one = tf.data.experimental.from_variant(variant, tf.TensorSpec((), tf.string)).take(1)
        return one.map(lambda data: (data, *others))

    def image(data, box, flip, size):
        data = tf.io.parse_single_example(data, {key: tf.io.FixedLenFeature((), tf.string)})[key]
        if raw:
            pixels = tf.reshape(tf.io.decode_raw(data, tf.uint8), (size[0], size[1], 3))
            crop = tf.slice(pixels, (box[0], box[1], 0), (box[2], box[3], 3))
        else:
            crop = tf.io.decode_and_crop_jpeg(data, box, channels=3)
        crop = resampled(crop)
        return tf.cond(flip, lambda: tf.reverse(crop, [1]), lambda: crop)

    rows = tf.data.Dataset.from_tensor_slices((starts[numbers], places, mirrored, sides))
    batches = rows.flat_map(record).map(image).batch(BATCH)

    def rated():
        begin = time.process_time()
        seen = sum(len(batch) for batch in batches)
        return seen / (time.process_time() - begin)

    return rated


def resampling(shards):
    """A function that gives the rate of `ScaleAndTranslate` alone."""
    import numpy as np
    import tensorflow as tf

    numbers, places, _ = boxes(shards, BATCH)
    crops = []
    for number, (top, left, height, width) in zip(numbers, places, strict=True):
        pixels = np.asarray(shards[number].image())
        crops.append(tf.constant(pixels[top : top + height, left : left + width]))
    step = tf.function(resampled, input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])

    def rated():
        begin = time.process_time()
        for _ in range(STEPS):
            for crop in crops:
                step(crop)
        return STEPS * BATCH / (time.process_time() - begin)

    return rated


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5)
    asked = parser.parse_args()
    from input_pipeline import make
    from prepared import measured, rate

    from eesmm_keras.data.preparing import prepare
    from eesmm_keras.data.shards import Shards, read_index
    from eesmm_keras.data.sources import open_source

    with tempfile.TemporaryDirectory() as place:
        place, sides = Path(place), {}
        (place / "folder").mkdir()
        make(place / "folder", asked.count)
        for name, raw in (("jpeg", False), ("raw", True)):
            prepare(place / "folder", place / name, size=256, raw=raw)
            source, index = open_source(place / name), read_index(place / name)
            shards = Shards(place / name, index["parts"]["train"], raw)
            sides[f"{name}, this package"] = lambda source=source: rate(source)
            sides[f"{name}, TensorFlow's operations"] = native(place / name, shards, raw)
        sides["resampling alone"] = resampling(shards)
        rates = measured(sides, asked.turns)
        print("| read | images/s a core | of this package |")
        print("|---|---|---|")
        for name, values in rates.items():
            ours = rates[f"{'jpeg' if name.startswith('jpeg') else 'raw'}, this package"]
            ratio = statistics.median(a / b for a, b in zip(values, ours, strict=True))
            print(f"| {name} | {statistics.median(values):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()

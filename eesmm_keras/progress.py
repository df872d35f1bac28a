"""Progress of long loops that are not training, for a person at a terminal."""

import sys
import time


def track(batches, total, label, stream=None, count=lambda batch: len(batch[0])):
    """Pass batches on and show how far the loop is, with images per second and time left.

    Args:
        batches: iterable, such as of `(images, labels)`.
        total: number of images in all.
        label: what is being done.
        stream: where to write, default stderr. Nothing is written where it is no terminal.
        count: function of a batch that gives the number of its images.
    """
    stream = stream or sys.stderr
    begin, seen, shown = time.monotonic(), 0, 0.0
    for batch in batches:
        yield batch
        seen = min(seen + count(batch), total)
        now = time.monotonic()
        if stream.isatty() and now - shown > 0.5:
            shown, rate = now, seen / (now - begin)
            left = time.strftime("%H:%M:%S", time.gmtime(max(total - seen, 0) / rate))
            stream.write(f"\r{label} {seen}/{total}  {rate:.0f} images/s  ETA {left}\x1b[K")
            stream.flush()
    if shown:
        stream.write("\r\x1b[K")

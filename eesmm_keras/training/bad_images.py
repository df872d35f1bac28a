"""Images that cannot be read: how many a run puts up with, and the list that it leaves."""

import contextlib

from eesmm_keras.data.sources import open_source, plain_failures
from eesmm_keras.whole_files import write_atomically

# What is skipped without being told to: this share of the images, and so many of a small folder.
_DEFAULT_SHARE = 0.01
_DEFAULT_COUNT = 100


def open_images(settings, split=None, data=None, **options):
    """`open_source` with what the settings say of links, large pictures and bad images.

    How images are read is told in `options`, see `inputs.asked_reading`.

    Args:
        settings: `PretrainSettings` or `FinetuneSettings`.
        data: what to open instead of `settings.data`.
        split, **options: see `open_source`.

    Raises:
        DataError: see `open_source`; or more images are bad than `max_bad_images` allows.
    """
    source = open_source(
        data or settings.data,
        split,
        data_dir=settings.data_dir,
        max_image_pixels=settings.max_image_pixels,
        follow_links=settings.follow_links,
        **options,
    )
    source.limit_bad(allowed_bad(len(source) + len(source.bad), settings.max_bad_images))
    return source


def allowed_bad(count, max_bad_images=None):
    """How many of `count` images may be bad, see `training.settings.Schedule`."""
    if max_bad_images is not None:
        return max_bad_images
    return max(_DEFAULT_COUNT, int(_DEFAULT_SHARE * count))


@contextlib.contextmanager
def bad_images_listed(run, *sources):
    """While the block reads the sources: their failures are plain, and the run lists bad images.

    bad_images.txt is there from the beginning, is completed at the end however the block ends, and
    keeps what an earlier part of the run put there.
    """
    _write(run, sources)
    try:
        with plain_failures(*sources):
            yield
    finally:
        _write(run, sources)


def _write(run, sources):
    # File names may hold any bytes: they go through unchanged.
    whole = {"encoding": "utf-8", "errors": "surrogateescape"}
    lines = [f"{name}: {reason}\n" for source in sources for name, reason in source.bad]
    path = run.bad_images_path
    if path.exists():
        lines = path.read_text(**whole).splitlines(keepends=True) + lines
    if lines:
        text = "".join(dict.fromkeys(lines))
        write_atomically(path, lambda file: file.write(text.encode(**whole)))


def bad_images_line(source):
    """`Skipped 2 images that cannot be read: a.jpg (...), ...`, or an empty text."""
    if not source.bad:
        return ""
    named = ", ".join(f"{name} ({reason})" for name, reason in source.bad[:5])
    more = f", and {len(source.bad) - 5} more" if len(source.bad) > 5 else ""
    plural = "s" * (len(source.bad) != 1)
    return f"Skipped {len(source.bad)} image{plural} that cannot be read: {named}{more}"

"""Where images come from: `open_source` asks the family of sources, `data.formats`, who takes it."""

from eesmm_keras.data.decoding import allow_pixels
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.formats import SOURCES
from eesmm_keras.data.image_source import ImageSource, plain_failures
from eesmm_keras.data.labels import CLASSES, IN_WORDS
from eesmm_keras.data.reading import Reading, settled
from eesmm_keras.data.source import SourceOptions
from eesmm_keras.data.splits import limit_source

__all__ = ["ImageSource", "examine", "find_source", "limit_source", "open_source", "plain_failures"]


def open_source(
    spec,
    split=None,
    *,
    data_dir=None,
    val_fraction=0.2,
    seed=0,
    labelled=False,
    max_image_pixels=None,
    follow_links=False,
    reading=None,
):
    """Open images for pre-training, training or evaluation.

    Args:
        spec: what to open:
            - a folder, as str or path: `train/` and perhaps `val/` (or `validation/`) and `test/`
              inside, each with one folder per class or just images; or one folder per class; or
              images alone, in any folders;
            - `"tfds:NAME"` or `"tfds:NAME:SPLIT"`, a TensorFlow Datasets name, such as
              `"tfds:cifar10"` or `"tfds:imagenet_v2:test[:50%]"`;
            - `"digits"`: scikit-learn's 8 x 8 digits; `"photo-tiles"`: tiles of scikit-image's
              photographs. For folders of these names write `./digits`, `./photo-tiles`;
            - whatever a plug-in takes, see `source.Source`.
        split: None is everything that pre-training may see: the train part, or all there is where
            there are no parts. "train", "val" and "test" give the part of that name. Where there
            is no val part, "train" and "val" divide the train part, class by class, by `seed`.
            Where there is no test part, "test" is the same as "val", and `note` says so.
        data_dir: folder that holds TFDS data sets; None is TFDS's own default.
        val_fraction: share of every class that "val" takes where it is split off, in (0, 1).
        seed: int >= 0, for that division.
        labelled: True demands class numbers of two or more classes; the name of another kind of labels
            demands these, see `labels.IN_WORDS`; False: whatever there is, or nothing.
        max_image_pixels: int, width x height of the largest picture that is decoded; None for
            `PIL.Image.MAX_IMAGE_PIXELS`, which rises for the whole process if this is larger.
        follow_links: bool, whether links that lead out of a folder are followed.
        reading: `reading.Reading`, what is read of every image; None: upright 8-bit RGB.

    Returns:
        An `ImageSource`. Files that are plainly no images, or cut short, are left out and listed in
        its `bad`; a folder is looked through once and remembered in the user's cache folder.

    Raises:
        DataError: there is nothing there, nothing readable, or no labels where they are demanded.
    """
    options = _options(
        data_dir, val_fraction, seed, labelled, max_image_pixels, follow_links, reading
    )
    source = find_source(spec).open(spec, split, options)
    source.max_pixels = options.max_pixels
    source.reading = settled(source.reading or options.reading)
    source.know_channels()
    _check_labels(source, options.label_kind)
    return source


def _check_labels(source, wanted):
    """Raise a DataError where a source says itself that its labels are not of the kind wanted."""
    if wanted is None:
        return
    there = source.annotations.kind if source.annotations else None
    if there != wanted and (wanted != CLASSES or there is not None):
        found = IN_WORDS.get(there, f"{there}") if there else "no labels at all"
        raise DataError(
            f"'{source.name}' has {found}; what is asked for needs {IN_WORDS.get(wanted, wanted)}."
        )


def examine(
    spec, *, data_dir=None, seed=0, max_image_pixels=None, follow_links=False, reading=None
):
    """What a data set holds: a list of `source.Part`, the train part first.

    Args: see `open_source`.

    Raises:
        DataError: there is no such data set, or nothing in it can be read.
    """
    options = _options(data_dir, 0.2, seed, False, max_image_pixels, follow_links, reading)
    return find_source(spec).examine(spec, options)


def _options(data_dir, val_fraction, seed, labelled, max_pixels, follow_links, reading):
    if seed < 0:
        raise DataError(f"seed must be 0 or more, got {seed}.")
    if max_pixels is not None and max_pixels < 1:
        raise DataError(f"max_image_pixels must be 1 or more, got {max_pixels}.")
    allow_pixels(max_pixels)
    reading = reading or Reading()
    kind = CLASSES if labelled is True else labelled or None
    return SourceOptions(data_dir, val_fraction, seed, kind, max_pixels, follow_links, reading)


def find_source(spec):
    """The `Source` that takes `spec`; nothing is opened, and no backend imported.

    Raises:
        DataError: none takes it, or several do.
    """
    known = [SOURCES.get(name)() for name in SOURCES.names()]
    for last in (False, True):
        found = [source for source in known if source.asked_last == last and source.matches(spec)]
        if len(found) > 1:
            names = " and ".join(type(source).__name__ for source in found)
            raise DataError(f"'{spec}' is ambiguous: {names} both take it.")
        if found:
            return found[0]
    if ":" not in str(spec):
        raise DataError(
            f"There is no folder '{spec}'. eesmm docs data lists what can be named instead of one."
        )
    spellings = "; ".join(source.spelling for source in known)
    raise DataError(
        f"There is no folder '{spec}', and it is no other data. Known: {spellings}. Sources of "
        "plug-ins are known where EESMM_PLUGINS is set."
    )

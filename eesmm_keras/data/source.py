"""The contract of a data source: what its file defines, and what it is told and tells."""

from dataclasses import dataclass, field

import numpy as np

from eesmm_keras.data.channels import size_of
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.labels import CLASSES
from eesmm_keras.data.reading import Reading

# Images whose sizes are looked at where no index tells them.
_SAMPLE = 256


@dataclass(frozen=True)
class SourceOptions:
    """How a source is opened, see `sources.open_source` for each.

    Attributes: data_dir (str or None), val_fraction (float), seed (int), label_kind (the kind of
    labels that is demanded, see `labels.Labels`, or None), max_pixels (int or None), follow_links
    (bool), reading (`Reading`). A source ignores what means nothing to it.
    """

    data_dir: str | None = None
    val_fraction: float = 0.2
    seed: int = 0
    label_kind: str | None = None
    max_pixels: int | None = None
    follow_links: bool = False
    reading: Reading = field(default_factory=Reading)

    @property
    def labelled(self):
        """bool: whether class numbers are demanded, of two or more classes."""
        return self.label_kind == CLASSES


@dataclass
class Part:
    """What is known of one part (train, val, test) of a data set, for a person to look at.

    `count`: images that can be used. `bad`: `(name, reason)` of the others. `sides`: int array
    `(n, 2)`, width and height in pixels, of all images or of a sample. `modes`: images by Pillow's
    mode. `classes`: images by class name, or None. `duplicates`: groups of names, see
    `paths.duplicate_names`. `size`: bytes of the files, or None. `links`: links that were not followed.
    """

    name: str
    count: int
    bad: list
    sides: np.ndarray
    modes: dict = field(default_factory=dict)
    classes: dict | None = None
    duplicates: list = field(default_factory=list)
    size: int | None = None
    links: int = 0


class Source:
    """A kind of place that images come from.

    The member NAME of the family is `data/formats/NAME.py`, or a plug-in `sources/NAME.py`. What a user
    writes after `--data` goes to the source whose `matches` says yes.

    Attributes:
        spelling: how a user names such data, for messages: "tfds:NAME[:SPLIT]".
        asked_last: bool. True for a source that takes whatever no other one takes.
    """

    spelling = ""
    asked_last = False

    def matches(self, spec):
        """Whether `spec` (str or `Path`, as the user gave it) names data of this kind.

        Cheap, and without errors: all sources are asked.
        """
        raise NotImplementedError

    def open(self, spec, split, options):
        """Open the data.

        Args:
            spec: see `matches`.
            split: None (everything that pre-training may see), "train", "val" or "test".
                `splits.choose_part` and `splits.piece_indices` keep the rules that all sources share.
            options: `SourceOptions`.

        Returns:
            `image_source.ImageSource`, which takes any lazy sequence of paths, bytes or arrays.

        Raises:
            DataError: nothing there or nothing readable, or no labels where `options.labelled`.
        """
        raise NotImplementedError

    def examine(self, spec, options):
        """What the data hold, for `eesmm doctor`: a list of `Part`, the train part first.

        Here: of every part that opens, with the sizes of a sample of its images.

        Raises:
            DataError: there is no train part.
        """
        parts = []
        for split in ("train", "val", "test"):
            try:
                source = self.open(spec, split, options)
            except DataError:
                if split == "train":
                    raise
                continue
            parts.append(_part(split, source))
        return parts


def _part(name, source):
    sides = np.array([size_of(image) for image in sample(source)]).reshape(-1, 2)
    classes = None
    if source.labels is not None and source.class_names is not None:
        counts = np.bincount(source.labels, minlength=len(source.class_names))
        classes = dict(zip(source.class_names, counts.tolist(), strict=True))
    return Part(name, len(source), source.bad, sides, classes=classes)


def sample(source, min_side=None):
    """At most 256 images of an `ImageSource`, decoded one by one in a fixed random order."""
    for i in np.random.default_rng(0).permutation(len(source))[:_SAMPLE].tolist():
        try:
            yield source.load(i, min_side)
        except DataError:
            continue

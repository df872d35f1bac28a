"""What all questions about many images share: what they follow from, how they are asked, what came."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eesmm_keras.answers.models import identity, reading_for
from eesmm_keras.data.sliding import sliding_of
from eesmm_keras.data.stream import Batch, open_files, stream
from eesmm_keras.errors import UserError
from eesmm_keras.finite import check_finite
from eesmm_keras.names import counted
from eesmm_keras.progress import track


@dataclass(frozen=True)
class Answer:
    """What became of a question.

    Attributes: `path` of the answer; `images` answered; `bad`, how many could not be read, and
    `bad_path`, their list; `note` about the images; `new`: whether anything was left to do; `more`:
    paths of what else there is.
    """

    path: Path
    images: int
    bad: int
    bad_path: Path
    note: str = ""
    new: bool = True
    more: tuple = ()

    @classmethod
    def of(cls, work, source, more=()):
        """Of a `Work` that has finished now."""
        counts = work.rows, work.bad
        return cls(work.out, *counts, work.bad_path, source.note, more=tuple(more))

    @classmethod
    def before(cls, work, source):
        """Of a `Work` that was finished before."""
        about = work.about()
        counts = about.get("images", 0), about.get("bad_images", 0)
        return cls(work.out, *counts, work.bad_path, source.note, new=False)

    def lines(self):
        """For the screen."""
        done = "" if self.new else " (finished before: nothing to do)"
        yield from filter(None, [self.note])
        yield f"{self.path}: {counted(self.images, 'image')}{done}"
        yield from map(str, self.more)
        if self.bad:
            yield f"{self.bad} could not be read: {self.bad_path}"


class Question:
    """What a model is asked about which images: opened, but nothing asked yet.

    Args:
        command: name of the command.
        weights: see `models.open_model`.
        images: see `data.stream.open_files`.
        batch_size: images (or tiles) that the model is asked about at once.
        tile: int or `(H, W)`, see `Reading`; None: what the model was trained on.
        overlap: of tiles, see `Sliding`; None: none.
        where: split, max_image_pixels, follow_links, data_dir.

    Attributes:
        source: `ImageSource`. names: `Names` of its images.
        sliding: `Sliding` where answers are means over tiles; None: about the centre of every image.
        facts: dict of plain values that the answer follows from, for `Work`.
        rows_at_once: images after each of which an answer can go on.

    Raises:
        UserError: no such weights, no images, or an overlap without tiles.
    """

    def __init__(self, command, weights, images, batch_size, tile=None, overlap=None, **where):
        reading = reading_for(weights)
        if tile is not None:
            reading = reading.replaced(tile=tile)
        self.sliding = sliding_of(reading, overlap, batch_size)
        self.source, self.names = open_files(images, **where, reading=reading)
        # A large image is a batch of its own.
        self.rows_at_once = batch_size if self.sliding is None else 1
        place = os.path.realpath(images) if os.path.exists(images) else str(images)
        self.facts = {
            "command": command,
            "weights": identity(weights),
            "images": place.encode("utf-8", "backslashreplace").decode(),
            "image_count": len(self.names),
            "image_names": self.names.digest(),
            "batch_size": batch_size,
        }
        if self.sliding is not None:
            self.facts.update(tile=list(reading.tile), overlap=self.sliding.overlap)

    def answers(self, work, ask, size, label, whole=False):
        """What `work` still lacks, with progress on a terminal.

        Args:
            ask: function of images `(B, H, W, C)` that gives an array `(B, ...)`.
            size: `(H, W)` of the images. label: what is being done. whole: see `answers`.

        Yields:
            `(Batch, array of the answers to its good images)`.

        Raises:
            UserError: answers that are not finite.
        """
        found = answers(self.source, self.sliding, ask, size, work.batch_size, work.start, whole)
        yield from track(found, len(self.source) - work.start, label, count=_images_of)


def answers(source, sliding, ask, size, batch_size, start=0, whole=False):
    """What a model answers about images, in their order.

    Args:
        source: `ImageSource`.
        sliding: `Sliding` where answers are means over tiles; None: about the centre of every image.
        ask, size: see `Question.answers`. batch_size: images in a batch, where they are whole.
        start: number of the first image. whole: bool, about all of every image instead of its centre.

    Yields: and raises what `Question.answers` does.
    """
    if sliding is None:
        found = _whole(stream(source, size, batch_size, start, whole), ask)
    else:
        found = _tiled(sliding.answers(ask, source, size, start))
    for batch, values in found:
        yield batch, check_finite(values)


def _whole(batches, ask):
    for batch in batches:
        good = batch.good
        yield batch, ask(batch.images)[good] if len(good) else np.zeros((0,))


def _tiled(answers):
    none = np.zeros((0,), np.int64)
    for number, answer, reason in answers:
        if answer is None:
            yield Batch(none, number, none, {number: reason}, {}), np.zeros((0,))
        else:
            yield Batch(none, number, np.zeros(1, np.int64), {}, {}), answer


def _images_of(pair):
    return len(pair[0].good) + len(pair[0].bad)


def check_out(out, example):
    """Raise a UserError unless `out` can be a file's path."""
    if str(out).endswith(os.sep) or os.path.isdir(out):
        raise UserError(f"--out must name a file such as {example}, got the folder {out}.")

"""What all questions about many images share: what they follow from, their batches and their answer."""

import os
from dataclasses import dataclass
from pathlib import Path

from eesmm_keras.answers.models import identity
from eesmm_keras.data.stream import stream
from eesmm_keras.errors import UserError
from eesmm_keras.progress import track


@dataclass(frozen=True)
class Answer:
    """What became of a question.

    Attributes: `path` of the answer; `images` answered; `bad`, how many could not be read, and
    `bad_path`, their list; `note` about the images; `new`: whether anything was left to do.
    """

    path: Path
    images: int
    bad: int
    bad_path: Path
    note: str = ""
    new: bool = True

    @classmethod
    def of(cls, work, source):
        """Of a `Work` that has finished now."""
        return cls(work.out, work.rows, work.bad, work.bad_path, source.note)

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
        yield f"{self.path}: {self.images} images{done}"
        if self.bad:
            yield f"{self.bad} could not be read: {self.bad_path}"


def question(command, weights, images, names, batch_size):
    """What an answer follows from, for `Work`: a dict of plain values.

    Raises:
        UserError: there are no such weights.
    """
    place = os.path.realpath(images) if os.path.exists(images) else str(images)
    return {
        "command": command,
        "weights": identity(weights),
        "images": place.encode("utf-8", "backslashreplace").decode(),
        "image_count": len(names),
        "image_names": names.digest(),
        "batch_size": batch_size,
    }


def batches_left(work, source, model, label):
    """The `Batch`es that `work` still lacks, with progress on a terminal."""
    batches = stream(source, model.image_shape[:2], work.batch_size, work.start)
    return track(batches, len(source) - work.start, label)


def check_out(out, example):
    """Raise a UserError unless `out` can be a file's path."""
    if str(out).endswith(os.sep) or os.path.isdir(out):
        raise UserError(f"--out must name a file such as {example}, got the folder {out}.")

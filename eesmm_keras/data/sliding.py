"""Large images tile by tile: a model is asked about tiles, and its answers are averaged."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np

from eesmm_keras.data._pipeline_checks import labels_of
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.pipeline import numbered_dataset
from eesmm_keras.data.views import CentralView

_AHEAD = 64  # tiles that are decoded before they are asked for, beside those of a batch


@dataclass(frozen=True)
class Sliding:
    """How answers about whole images come from answers about their tiles.

    Args:
        overlap: share of a tile's side by which neighbours overlap, in [0, 1).
        batch_size: tiles that a model is asked about at once.

    Raises:
        DataError: an overlap out of its range.
    """

    overlap: float = 0.0
    batch_size: int = 64

    def __post_init__(self):
        if not 0 <= self.overlap < 1:
            raise DataError(f"overlap must lie in [0, 1), got {self.overlap}.")

    def answers(self, ask, source, size, start=0):
        """The mean of a model's outputs over the tiles of every image.

        Tiles are resized to the model's images as a whole. Images may be of any size and number: a
        few batches of tiles are in memory. Images that cannot be decoded are recorded in `source.bad`.

        Args:
            ask: function of images `(batch_size, H, W, C)`, always as many, that gives an array, or a
                dict (or other tree) of them, `(batch_size, ...)`.
            source: `ImageSource` whose reading has a tile.
            size: side of the model's images, or `(H, W)`.
            start: number of the first image.

        Yields:
            `(number, outputs, reason)`: outputs `(1, ...)`, or None and the reason why the image
            cannot be read; in the order of the numbers.

        Raises:
            DataError: too many images cannot be read, see `ImageSource.limit_bad`.
        """
        view = CentralView(size, crop_fraction=1.0)
        sums = {}
        for chunk in _chunks(_ahead(_events(source, view, self.overlap, start)), self.batch_size):
            self._add(ask, sums, [(number, tile) for number, tile, _ in chunk if tile is not None])
            for number, _, reason in (event for event in chunk if event[1] is None):
                total, count = sums.pop(number, (None, 0))
                if reason is None:
                    yield number, _map(lambda x, n=count: _mean(x, n), total), None
                else:
                    yield number, None, reason

    def _add(self, ask, sums, tiles):
        """Ask about `(number, picture)`s, and add the outputs to the sums of their images."""
        if not tiles:
            return
        images = np.zeros((self.batch_size, *tiles[0][1].shape), tiles[0][1].dtype)
        for place, (_, picture) in enumerate(tiles):
            images[place] = picture
        outputs = ask(images)
        for place, (number, _) in enumerate(tiles):
            # In double precision: the order of the sum's terms shall not show.
            one = _map(lambda x, k=place: np.asarray(x[k], np.float64), outputs)
            total, count = sums.get(number, (None, 0))
            sums[number] = one if total is None else _map(np.add, total, one), count + 1


def sliding_of(reading, overlap=None, batch_size=64):
    """`Sliding` where a `Reading` has a tile; None where whole images are read.

    Raises:
        DataError: an overlap without tiles, or out of its range.
    """
    if reading.tile is not None:
        return Sliding(overlap or 0.0, batch_size)
    if overlap is not None:
        raise DataError("--overlap is that of tiles: add --tile N, their side in pixels.")
    return None


def labelled_answers(ask, source, size, batch_size, sliding=None, whole=False):
    """What a model says of labelled images, and their labels.

    Args:
        ask: see `Sliding.answers`; without tiles, the last batch may be smaller.
        source: `ImageSource` with labels.
        size: side of the model's images, or `(H, W)`.
        batch_size: images in a batch, where they are whole.
        sliding: `Sliding` where outputs are means over tiles; None: of the centre of every image.
        whole: bool, of all of every image instead of its centre.

    Yields:
        `(outputs (B, ...), labels)`, see `Labels.at`; images that cannot be decoded left out.

    Raises:
        DataError: there are no labels, or no image can be decoded.
    """
    if sliding is None:
        for images, _, numbers in numbered_dataset(source, size, batch_size, whole):
            yield ask(images.numpy()), source.annotations.at(numbers.numpy())
        return
    labels = labels_of(source)
    source.load_good(0)
    for number, outputs, _ in sliding.answers(ask, source, size):
        if outputs is not None:
            yield outputs, labels.at([number])


_map = keras.tree.map_structure


def _mean(total, count):
    return (total / count).astype(np.float32)[None]


def _events(source, view, overlap, start):
    """`(number, tile, None)` of every tile; behind those of an image `(number, None, reason)`."""
    for number in range(start, len(source)):
        reason = None
        try:
            for tile in source.tiles(number, overlap):
                yield number, view(tile), None
        except DataError as error:
            if source.failure is not None:
                raise
            reason = str(error.__cause__ or error)
        yield number, None, reason


def _chunks(events, size):
    """Lists of events with at most `size` tiles."""
    chunk, tiles = [], 0
    for event in events:
        if event[1] is not None and tiles == size:
            yield chunk
            chunk, tiles = [], 0
        chunk.append(event)
        tiles += event[1] is not None
    if chunk:
        yield chunk


def _ahead(events):
    """The same, made in another thread while the ones before are used."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, events, end) for _ in range(_AHEAD))
        try:
            while (event := waiting.popleft().result()) is not end:
                waiting.append(pool.submit(next, events, end))
                yield event
        finally:
            pool.shutdown(cancel_futures=True)

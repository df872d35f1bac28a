"""`eesmm neighbours`: which images are most alike, by the cosine of their vectors."""

import os

import numpy as np
from sklearn.neighbors import NearestNeighbors

from eesmm_keras.answers.embeddings import unit_length
from eesmm_keras.data.stream import open_files
from eesmm_keras.errors import UserError

_QUERIES_AT_ONCE, _IMAGES_AT_ONCE = 4096, 32


class Neighbours:
    """Finds the nearest of many vectors.

    Args:
        embeddings: `Embeddings`.
    """

    def __init__(self, embeddings):
        self.embeddings = embeddings
        # Between vectors of length 1, scikit-learn's Euclidean search in blocks gives the order of the
        # cosine; its cosine would take more memory.
        self._search = NearestNeighbors(algorithm="brute", metric="euclidean")
        self._search.fit(embeddings.vectors)

    def of(self, vectors, count):
        """The nearest ones of each vector, the first one first.

        Args:
            vectors: float32 `(Q, D)`, of length 1. count: how many, at most those that there are.

        Yields:
            `(numbers, cosines)`, arrays `(count,)`, of one vector after the other.
        """
        count = min(count, len(self.embeddings.names))
        for first in range(0, len(vectors), _QUERIES_AT_ONCE):
            some = vectors[first : first + _QUERIES_AT_ONCE]
            distances, numbers = self._search.kneighbors(some, count)
            yield from zip(numbers, 1 - np.square(distances) / 2, strict=True)

    def of_all(self, count):
        """The nearest other ones of every image; see `of`."""
        found = self.of(self.embeddings.vectors, count + 1)
        for i, (numbers, cosines) in enumerate(found):
            others = np.flatnonzero(numbers != i)[:count]
            yield numbers[others], cosines[others]


def query_vectors(query, embeddings, weights=None, say=None, **where):
    """What is asked about: an image by its name in the embeddings, or images that are asked for now.

    Args:
        query: a name in the embeddings; or a file or folder of images.
        weights: the encoder for images; None: that of the embeddings.
        say, where: see `predicting.predict`.

    Returns:
        `(names, float32 vectors (Q, D) of length 1, paths)`; a path is None where there is no file.

    Raises:
        UserError: neither a name nor images, another encoder, or images that cannot be read.
    """
    if not os.path.exists(query):
        if query not in embeddings.names:
            raise UserError(
                f"There is no file '{query}', and no image of that name in {embeddings.path}."
            )
        i = embeddings.names.index(query)
        return [query], embeddings.vectors[i : i + 1], [embeddings.image_path(i)]
    weights = weights or embeddings.about.get("weights")
    if not weights:
        raise UserError(f"{embeddings.path} does not say which encoder made it: give --weights.")
    # The search itself needs no Keras.
    from eesmm_keras.answers.asking import answers
    from eesmm_keras.answers.models import open_model
    from eesmm_keras.data.sliding import sliding_of

    model, asked = open_model(weights, say), embeddings.about.get("asked") or {}
    # As the images of the embeddings: what their model was trained on may be a tile, and they whole.
    reading = model.reading.replaced(tile=asked.get("tile"))
    source, names = open_files(query, **where, reading=reading)
    sliding = sliding_of(reading, asked.get("overlap"), _IMAGES_AT_ONCE)
    features = asked.get("features", "pooled")

    def ask(images):
        return _flat(model.features(images)[features])

    known, vectors = [], []
    for batch, found in answers(source, sliding, ask, model.image_shape[:2], _IMAGES_AT_ONCE):
        if len(found):
            vectors.append(found)
            known += [names[batch.first + k] for k in batch.good.tolist()]
    vectors = np.concatenate(vectors)
    if vectors.shape[1] != embeddings.vectors.shape[1]:
        raise UserError(
            f"{weights} gives vectors of {vectors.shape[1]} numbers, and those in {embeddings.path} "
            f"have {embeddings.vectors.shape[1]}. Give the encoder that made them."
        )
    paths = [query if os.path.isfile(query) else os.path.join(query, name) for name in known]
    return known, unit_length(vectors, weights), paths


def _flat(found):
    return np.concatenate(list(found.values()), axis=1) if isinstance(found, dict) else found

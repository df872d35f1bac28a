"""Folders that `eesmm prepare` wrote."""

import os

import numpy as np

from eesmm_keras.data.errors import DataError
from eesmm_keras.data.image_source import ImageSource
from eesmm_keras.data.lazy import Lazy
from eesmm_keras.data.places import is_address
from eesmm_keras.data.shards import Shards, is_prepared, read_index
from eesmm_keras.data.source import Source
from eesmm_keras.data.splits import choose_part, piece_indices


class Prepared(Source):
    """Prepared shards, in a folder or at an address: the images they were made from, in their order."""

    spelling = "a folder or an address (s3://...) to which eesmm prepare wrote"

    def matches(self, spec):
        return is_address(spec) or (isinstance(spec, str | os.PathLike) and is_prepared(spec))

    def open(self, spec, split, options):
        if not options.reading.plain:
            raise DataError(
                f"'{spec}' holds prepared 8-bit RGB pictures: other channels, pages or native pixels "
                "must be read from the images themselves."
            )
        index = read_index(spec)
        part, piece, note = choose_part(set(index["parts"]), split)
        shards = Shards(spec, index["parts"][part], index["raw"])
        names = index["class_names"] and tuple(index["class_names"])
        if options.labelled and (names is None or len(names) < 2):
            raise DataError(f"'{spec}' was prepared from images without labels, or of one class.")
        labels = shards.labels if names else None
        strata = np.zeros(len(shards), np.int64) if labels is None else labels
        whole = ImageSource(
            str(spec), shards, labels, names, note=note, ids=Lazy(len(shards), shards.describe)
        )
        return whole.take(piece_indices(piece, strata, options.val_fraction, options.seed))

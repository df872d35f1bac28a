"""How good the frozen features of an encoder are for labelled images."""

import numpy as np

from eesmm_keras.data.sliding import labelled_answers
from eesmm_keras.evaluation.features import pooled_features
from eesmm_keras.evaluation.probes import make_probe
from eesmm_keras.evaluation.rank import effective_rank
from eesmm_keras.progress import track


def probe(backbone, train, test, mode="knn", sliding=None):
    """What a probe says of the frozen features of two labelled sources.

    Args:
        mode: of `make_probe`. sliding: see `features_of`.
    """
    return make_probe(mode).score(*features_of(backbone, train, test, sliding))


def probe_and_rank(backbone, train, test, mode="knn"):
    """`probe`, and the effective rank of the train images' features."""
    features = features_of(backbone, train, test)
    return make_probe(mode).score(*features), effective_rank(features[0])


def features_of(backbone, train, test, sliding=None):
    """Frozen features `(N, C)` and labels `(N,)` of two sources: a list of four arrays.

    Args:
        sliding: `Sliding` where features are means over tiles; None: of the centre of every image.
    """
    sets, ask = [], pooled_features(backbone)
    for source in (train, test):
        found = labelled_answers(ask, source, backbone.image_shape[:2], 64, sliding)
        found = track(found, len(source), "extracting features")
        sets.extend(np.concatenate(parts) for parts in zip(*found, strict=True))
    return sets

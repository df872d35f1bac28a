"""How good the frozen features of an encoder are for labelled images."""

import numpy as np

from eesmm_keras.data.pipeline import evaluation_dataset
from eesmm_keras.evaluation.features import extract_features
from eesmm_keras.evaluation.probes import make_probe
from eesmm_keras.evaluation.rank import effective_rank
from eesmm_keras.progress import track


def probe(backbone, train, test, mode="knn"):
    """What a probe says of the frozen features of two labelled sources.

    Args:
        mode: of `make_probe`.
    """
    return make_probe(mode).score(*features_of(backbone, train, test))


def probe_and_rank(backbone, train, test, mode="knn"):
    """`probe`, and the effective rank of the train images' features."""
    features = features_of(backbone, train, test)
    return make_probe(mode).score(*features), effective_rank(features[0])


def features_of(backbone, train, test):
    """Frozen features `(N, C)` and labels `(N,)` of two sources: a list of four arrays."""
    size = backbone.image_shape[:2]
    sets = []
    for source in (train, test):
        labels = []
        batches = track(evaluation_dataset(source, size, 64), len(source), "extracting features")
        sets.append(extract_features(backbone, _noting(labels, batches)))
        sets.append(np.array(labels))
    return sets


def _noting(labels, batches):
    """The images of the batches, while their labels are put into a list."""
    for images, batch_labels in batches:
        labels.extend(batch_labels.numpy())
        yield images

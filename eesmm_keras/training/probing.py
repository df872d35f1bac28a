"""How good the frozen features of an encoder are for labelled images."""

import numpy as np

from eesmm_keras.data.pipeline import evaluation_dataset
from eesmm_keras.evaluation import extract_features, knn_accuracy, linear_probe_accuracy
from eesmm_keras.progress import track


def probe(backbone, train, test, mode="knn", k=20):
    """Accuracy 0..1 of kNN or a linear probe on frozen features, fitted on `train`."""
    return score(features_of(backbone, train, test), mode, k)


def features_of(backbone, train, test):
    """Frozen features `(N, C)` and labels `(N,)` of two sources: a list of four arrays."""
    size = backbone.image_shape[0]
    sets = []
    for source in (train, test):
        labels = []
        batches = track(evaluation_dataset(source, size, 64), len(source), "extracting features")
        sets.append(extract_features(backbone, _noting(labels, batches)))
        sets.append(np.array(labels))
    return sets


def score(sets, mode, k=20):
    """Accuracy 0..1 of kNN ("knn") or a linear probe ("linear") on what `features_of` gave."""
    if mode == "knn":
        return knn_accuracy(*sets, k=min(k, len(sets[1])))
    return linear_probe_accuracy(*sets)


def _noting(labels, batches):
    """The images of the batches, while their labels are put into a list."""
    for images, batch_labels in batches:
        labels.extend(batch_labels.numpy())
        yield images

"""How good are the features of an encoder, without fine-tuning it: probes such as kNN.

The names below are imported on first use: the family of probes is asked for its names long before.
"""

import importlib

_PUBLIC = {
    "extract_features": "eesmm_keras.evaluation.features",
    "knn_accuracy": "eesmm_keras.evaluation.probes.knn",
    "linear_probe_accuracy": "eesmm_keras.evaluation.probes.linear",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

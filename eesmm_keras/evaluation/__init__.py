"""How good are the features of an encoder, without fine-tuning it: kNN and linear probe."""

from eesmm_keras.evaluation.features import extract_features
from eesmm_keras.evaluation.knn import knn_accuracy
from eesmm_keras.evaluation.linear import linear_probe_accuracy

__all__ = ["extract_features", "knn_accuracy", "linear_probe_accuracy"]

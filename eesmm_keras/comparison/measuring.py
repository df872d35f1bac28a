"""What frozen features of an encoder are worth: kNN, and linear probes on one and on all stages."""

import keras
import numpy as np

from eesmm_keras.data.pipeline import evaluation_dataset
from eesmm_keras.evaluation import knn_accuracy, linear_probe_accuracy
from eesmm_keras.progress import track


def stage_features(backbone, source, batch_size=64):
    """Pooled features of every image, from one pass of the dense encoder.

    Args:
        backbone: encoder of S stages; one without stages (ViT) counts as one.
        source: labelled `ImageSource` of n images.

    Returns:
        `(last, stages, labels)`: float32 `(n, C)`, the mean over the last stage's map; float32
        `(n, C_1 + ... + C_S)`, the same of every stage, side by side; int `(n,)`.
    """
    extractor = backbone.feature_extractor()
    names = sorted(getattr(backbone, "pyramid_outputs", {}))
    last, stages, labels = [], [], []
    batches = evaluation_dataset(source, backbone.image_shape[:2], batch_size)
    for images, batch_labels in track(batches, len(source), "extracting features"):
        outputs = extractor.predict_on_batch(images.numpy())
        outputs = {
            name: keras.ops.convert_to_numpy(outputs[name]).astype("float32")
            for name in ("pooled", *names)
        }
        last.append(outputs["pooled"])
        pooled = [outputs[name].mean(axis=(1, 2)) for name in names] or [outputs["pooled"]]
        stages.append(np.concatenate(pooled, axis=1))
        labels.append(batch_labels.numpy())
    return tuple(np.concatenate(parts) for parts in (last, stages, labels))


def measure(backbone, train, test):
    """Accuracies 0..1 of classifiers fitted on frozen features of `train`, asked on `test`.

    Returns:
        dict: `knn` and `linear` on the last stage, `linear_stages` on all stages together.
    """
    last, stages, labels = stage_features(backbone, train)
    test_last, test_stages, test_labels = stage_features(backbone, test)
    return {
        "knn": knn_accuracy(last, labels, test_last, test_labels, k=20),
        "linear": linear_probe_accuracy(last, labels, test_last, test_labels),
        "linear_stages": linear_probe_accuracy(stages, labels, test_stages, test_labels),
    }

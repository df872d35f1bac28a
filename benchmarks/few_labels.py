"""Five labels per class of scikit-learn's digits: raw pixels and features, before and after contrast.

    python benchmarks/few_labels.py [--epochs 12]

A classifier is fitted on 5 images of each class, drawn anew ten times, and asked about all test images.
"""

import argparse

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from eesmm_keras.backbones import from_preset
from eesmm_keras.comparison.measuring import stage_features
from eesmm_keras.data.pipeline import load_arrays
from eesmm_keras.data.sources import open_source
from eesmm_keras.methods.contrastive import ContrastiveMIM

LABELS, DRAWS, BATCH, RATE = 5, 10, 64, 2e-3


def scored(name, train, test, labels, test_labels):
    """Print mean and deviation over the draws of both classifiers; features `(N, C)`."""
    makers = {
        "logistic regression": lambda: make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=2000)
        ),
        "nearest neighbour": lambda: KNeighborsClassifier(1),
    }
    for title, make in makers.items():
        found = []
        for seed in range(DRAWS):
            rng = np.random.default_rng(seed)
            classes = (np.flatnonzero(labels == label) for label in np.unique(labels))
            chosen = np.concatenate([rng.choice(c, LABELS, replace=False) for c in classes])
            model = make().fit(train[chosen], labels[chosen])
            found.append(model.score(test, test_labels))
        print(f"{name:16} {title:20} {np.mean(found):.3f} +- {np.std(found):.3f}", flush=True)


def pixels(source):
    return np.stack([np.asarray(source.load(i).convert("L")).ravel() for i in range(len(source))])


def of_encoder(name, backbone, train, test):
    (_, features, labels), (_, others, test_labels) = (
        stage_features(backbone, source) for source in (train, test)
    )
    scored(name, features, others, labels, test_labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    epochs = parser.parse_args().epochs
    train, test = open_source("digits", "train"), open_source("digits", "test")
    scored("raw pixels", pixels(train), pixels(test), train.labels, test.labels)
    keras.utils.set_random_seed(0)
    backbone = from_preset("swin_mini_32:kernel_initializer=glorot_uniform")
    of_encoder("random weights", backbone, train, test)
    model = ContrastiveMIM(
        backbone, mask_ratio=0.5, smallest_crop=0.5, mirror=False, decoder_dim=64,
        decoder_num_heads=4, seed=0,
    )  # fmt: skip
    images, _ = load_arrays(train, 32)
    images = images[: len(images) // BATCH * BATCH]
    steps = len(images) // BATCH * epochs
    rate = keras.optimizers.schedules.CosineDecay(
        RATE / 20, steps, warmup_target=RATE, warmup_steps=steps // 10
    )
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.05, beta_2=0.95))
    model.fit(images, batch_size=BATCH, epochs=epochs, verbose=0)
    of_encoder("contrast", backbone, train, test)


if __name__ == "__main__":
    main()

"""What the stages of an encoder know: kNN on the pooled map of each, beside random weights.

python benchmarks/stages.py --data cifar10/ --weights runs/simmim --limit 2000
"""

import argparse

import numpy as np


def table(backbone, data):
    """kNN accuracy of each stage's pooled map."""
    import keras

    from eesmm_keras.evaluation import knn_accuracy

    extractor, sides = backbone.feature_extractor(), []
    for images, labels in data:
        chunks = [images[i : i + 100] for i in range(0, len(images), 100)]
        batches = [extractor.predict_on_batch(chunk) for chunk in chunks]
        pooled = {
            name: np.concatenate(
                [keras.ops.convert_to_numpy(batch[name]).mean(axis=(1, 2)) for batch in batches]
            )
            for name in backbone.pyramid_outputs
        }
        sides.append((pooled, labels))
    (train, train_y), (test, test_y) = sides
    return {name: knn_accuracy(train[name], train_y, test[name], test_y) for name in train}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True, help="A run or a .keras file.")
    parser.add_argument("--limit", type=int, default=2000, help="Images of each part.")
    args = parser.parse_args()

    import keras

    from eesmm_keras.data.pipeline import load_arrays
    from eesmm_keras.data.sources import limit_source, open_source
    from eesmm_keras.training.weights import load_backbone

    trained = load_backbone(args.weights)
    sources = (open_source(args.data, split, labelled=True) for split in ("train", "test"))
    data = [
        load_arrays(limit_source(source, args.limit), trained.image_shape[0]) for source in sources
    ]
    keras.utils.set_random_seed(0)
    untrained = table(type(trained).from_config(trained.get_config()), data)
    print("| stage | random weights | trained |\n|---|---|---|")
    for name, value in table(trained, data).items():
        print(f"| {name} | {untrained[name]:.3f} | {value:.3f} |")


if __name__ == "__main__":
    main()

"""Where a SimMIM encoder keeps what it has learnt: kNN on the features of each stage and place.

    python benchmarks/simmim_places.py --data cifar10/ --weights runs/simmim --limit 2000

The loss of SimMIM looks at hidden places only, so that nothing trains the last block's output at
visible ones; frozen features are taken from images without hidden places. Rows: the pooled map of
each stage; and, with masks as in training, the last map pooled over hidden and over visible
places, averaged over `--masks` masks. Each beside the same network with random weights.
"""

import argparse

import numpy as np


def features(model, images, masks):
    """Features of each row of the table: dict of `(B, C)`."""
    import keras
    from keras import ops

    backbone = model.backbone
    maps = backbone.feature_extractor().predict_on_batch(images)
    rows = {
        name: keras.ops.convert_to_numpy(x).mean(axis=(1, 2))
        for name, x in maps.items()
        if name.startswith("P")
    }
    pixels = backbone.normalization(images)
    parts = {"last stage, hidden places": [], "last stage, visible places": []}
    for hidden in masks:
        tokens = model._replace(backbone.embed(pixels), ops.convert_to_tensor(hidden, "float32"))
        latent = ops.convert_to_numpy(backbone.encode_tokens(tokens))
        latent = latent.reshape(len(images), -1, latent.shape[-1])
        for name, where in zip(parts, (hidden[0] == 1, hidden[0] == 0), strict=True):
            parts[name].append(latent[:, where].mean(axis=1))
    return {**rows, **{name: np.mean(values, axis=0) for name, values in parts.items()}}


def table(model, data, masks):
    """kNN accuracy of each row."""
    from eesmm_keras.evaluation import knn_accuracy

    sides = []
    for images, labels in data:
        batches = [features(model, images[i : i + 100], masks) for i in range(0, len(images), 100)]
        rows = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        sides.append((rows, labels))
    (train, train_y), (test, test_y) = sides
    return {name: knn_accuracy(train[name], train_y, test[name], test_y) for name in train}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True, help="A SimMIM run.")
    parser.add_argument("--limit", type=int, default=2000, help="Images of each part.")
    parser.add_argument("--masks", type=int, default=8)
    args = parser.parse_args()

    import keras

    from eesmm_keras.data.pipeline import load_arrays
    from eesmm_keras.data.sources import limit_source, open_source
    from eesmm_keras.training.weights import load_checked

    model = load_checked(args.weights)
    size = model.backbone.image_shape[0]
    sources = (open_source(args.data, split, labelled=True) for split in ("train", "test"))
    data = [load_arrays(limit_source(source, args.limit), size) for source in sources]
    masks = [model.sample_hidden(seed) for seed in range(args.masks)]
    trained = table(model, data, masks)
    keras.utils.set_random_seed(0)
    random = type(model).from_config(model.get_config())
    untrained = table(random, data, masks)
    print("| features | random weights | SimMIM |\n|---|---|---|")
    for name in trained:
        print(f"| {name} | {untrained[name]:.3f} | {trained[name]:.3f} |")


if __name__ == "__main__":
    main()

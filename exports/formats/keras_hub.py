"""Presets of keras-hub."""

from eesmm_keras.exports.format import Format


class KerasHub(Format):
    """A preset's folder that keras-hub opens: Swin or ViT, the backbone or its image classifier.

    `keras_hub.models.ImageClassifier.from_preset(FOLDER)`, whose `predict` takes pixels; or
    `keras_hub.models.Backbone.from_preset(FOLDER)`, on what
    `keras_hub.layers.ImageConverter.from_preset(FOLDER)` makes of them.
    """

    description = "keras-hub preset"
    needs = ("keras_hub",)
    extra = "keras-hub"
    uses_keras = True
    model_input = ("images", "NHWC")
    library = "keras-hub"

    def program(self, steps):
        return f"""
import keras_hub
import numpy as np
{steps.pillow}

model = keras_hub.models.ImageClassifier.from_preset("PATH")
height, width = model.preprocessor.image_converter.image_size
{steps.image}
print(model.predict(np.array(image)[None]))  # logits
# An encoder: keras_hub.models.Backbone.from_preset("PATH"), on what
# keras_hub.layers.ImageConverter.from_preset("PATH") makes of the pixels.
"""

    def outputs(self, graph):
        from eesmm_keras.exports.foreign import last_level

        return [last_level(graph)]  # a classifier's logits too: its one output

    def write(self, graph, metadata, path):
        import tempfile
        from pathlib import Path

        import keras_hub

        from eesmm_keras.exports.foreign import Foreign

        foreign = Foreign("keras_hub", graph.model)
        peer, preprocessor = _untrained(keras_hub, foreign, metadata)
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder, "model.weights.h5")
            peer.save_weights(weights)
            _fill(weights, foreign)
            peer.load_weights(weights)
        peer.save_to_preset(str(path))
        preprocessor.save_to_preset(str(path))

    def run(self, path, batches):
        from pathlib import Path

        import keras
        import keras_hub

        if Path(path, "task.json").is_file():
            classifier = keras_hub.models.ImageClassifier.from_preset(path)
            return {
                batch: {"logits": classifier.predict(images, verbose=0)}
                for batch, images in batches.items()
            }
        backbone = keras_hub.models.Backbone.from_preset(path)
        converter = keras_hub.layers.ImageConverter.from_preset(path)
        results = {}
        for batch, images in batches.items():
            tokens = keras.ops.convert_to_numpy(backbone(converter(images)))
            results[batch] = _named(tokens, backbone)
        return results

    def owns(self, path):
        try:
            return "keras_hub" in (path / "config.json").read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return False


def _untrained(keras_hub, foreign, metadata):
    """`(model, preprocessor)` of keras-hub, of our sizes."""
    encoder = foreign.encoder
    family = foreign.layout.model_class(encoder, None).removesuffix("Backbone")
    backbone = getattr(keras_hub.models, f"{family}Backbone")(**foreign.config, dtype="float32")
    converter = getattr(keras_hub.layers, f"{family}ImageConverter")(
        image_size=tuple(metadata["image_size"]),
        scale=[1 / (255 * float(std)) for std in encoder.std],
        offset=[-float(m) / float(s) for m, s in zip(encoder.mean, encoder.std, strict=True)],
        dtype="float32",
    )
    preprocessor = getattr(keras_hub.models, f"{family}ImageClassifierPreprocessor")(converter)
    if not foreign.num_classes:
        return backbone, preprocessor
    head = {"num_classes": foreign.num_classes, "preprocessor": preprocessor, "activation": None}
    if family == "ViT":
        head["pooling"] = {"token": "token", "mean": "gap"}[foreign.pooling]
    cls = getattr(keras_hub.models, foreign.model_class)
    return cls(backbone, **head), preprocessor


def _fill(path, foreign):
    """Replace the numbers in an HDF5 file of untrained weights by ours."""
    import h5py

    from eesmm_keras.converters.reading import dotted

    with h5py.File(path, "r+") as file:
        datasets = {}

        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                datasets[dotted(f"/{name}")] = item

        file.visititems(visit)
        arrays = foreign.arrays({name: item.shape for name, item in datasets.items()})
        for name, array in arrays.items():
            datasets[name][...] = array


def _named(tokens, backbone):
    """keras-hub's tokens `(B, T, C)` as a map `(B, rows, cols, C)` under our name."""
    height, width, _ = backbone.image_shape
    stride = backbone.patch_size if isinstance(backbone.patch_size, int) else backbone.patch_size[0]
    tokens = tokens[:, int(getattr(backbone, "use_class_token", False)) :]
    stride *= 2 ** (len(getattr(backbone, "depths", (1,))) - 1)
    shape = (len(tokens), height // stride, width // stride, -1)
    return {f"P{stride.bit_length() - 1}": tokens.reshape(shape)}

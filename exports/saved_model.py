"""Writing a TensorFlow SavedModel."""

import json

import tensorflow as tf


def write_saved_model(graph, metadata, path):
    """Write `graph` as a SavedModel folder `path`.

    The signature `serving_default` takes `images` and returns the outputs by name. The metadata is
    there twice: as `assets.extra/metadata.json` to read by eye, and as the signature `metadata`,
    which takes nothing and returns {"json": the same text}, to read with TensorFlow alone.
    """
    text = json.dumps(metadata, indent=2)

    @tf.function(input_signature=[])
    def read_metadata():
        return {"json": tf.constant(text)}

    module = tf.Module()
    module.weights = graph.variables  # A SavedModel holds only what its root object can reach.
    signatures = {
        "serving_default": graph.function.get_concrete_function(),
        "metadata": read_metadata.get_concrete_function(),
    }
    tf.saved_model.save(module, str(path), signatures=signatures)
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / "metadata.json").write_text(text + "\n", encoding="utf-8")

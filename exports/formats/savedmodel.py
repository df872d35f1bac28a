"""TensorFlow SavedModels."""

import json

from eesmm_keras.exports.format import Format


class SavedModel(Format):
    """A SavedModel folder.

    The signature `serving_default` takes `images` and returns the outputs by name. The metadata is
    there twice: as `assets.extra/metadata.json` to read by eye, and as the signature `metadata`,
    which takes nothing and returns {"json": the same text}, to read with TensorFlow alone.
    """

    description = "SavedModel"

    def program(self, steps):
        answer = steps.answer('facts["class_names"]', 'outputs["{}"].numpy()')
        return f"""
import json
import numpy as np
import tensorflow as tf
{steps.pillow}

model = tf.saved_model.load("PATH")
facts = json.loads(model.signatures["metadata"]()["json"].numpy())
height, width = facts["image_size"]
{steps.image}
outputs = model.signatures["serving_default"](images=tf.constant(np.array(image, "uint8")[None]))
{answer}
"""

    def write(self, graph, metadata, path):
        import tensorflow as tf

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

    def run(self, path, batches):
        import tensorflow as tf

        loaded = tf.saved_model.load(path)  # kept in a name: the variables die with it
        serve = loaded.signatures["serving_default"]
        return {
            batch: {name: y.numpy() for name, y in serve(images=tf.constant(images)).items()}
            for batch, images in batches.items()
        }

    def owns(self, path):
        return (path / "saved_model.pb").is_file()

"""A model of this package as a source: for an encoder of another size, the same adaptation."""

import keras

from eesmm_keras.converters.importing import outside_variables
from eesmm_keras.converters.source import Source
from eesmm_keras.partial_training import merged_weights


class OwnWeights:
    """Weights of a loaded model; what `recognition.Weights` is for a file of others.

    Args:
        model: an encoder, or a model around one.
        where: name of the place it came from, for messages.
        licence: of the weights; None: not stated.
    """

    assumed = {}

    def __init__(self, model, where, licence=None):
        encoder = getattr(model, "backbone", model)
        self.encoder_class, self.arguments = type(encoder), encoder.get_config()
        self.source = Source(str(where), {}, licence=licence)
        self.converter = _OwnNames()
        self.notes = []
        found = [*merged_weights(encoder), *outside_variables(model)]
        self.names = {path: (path, value) for path, value in found}
        self.used = set()

    def __contains__(self, name):
        return name in self.names

    def array(self, name):
        self.used.add(name)
        return keras.ops.convert_to_numpy(self.names[name][1]).astype("float32")

    def left_over(self):
        return sorted(self.names.keys() - self.used)


class _OwnNames:
    """The part of a `Converter` that is asked for while importing."""

    title = "a model of this package"
    note = "yours, unless its training began from public weights"

    def array(self, path, weights):
        return weights.array(path) if path in weights else None

    def adjust(self, path, array, weights):
        return array, None

    def problem(self, part, weights):
        return None

    def theirs(self, path):
        return (path,)

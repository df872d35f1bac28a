"""What the formats share that other libraries open."""

import json

from eesmm_keras.converters.writing import find_layout, foreign_arrays
from eesmm_keras.exports.source import backbone_of


class Foreign:
    """A model of ours on its way into another library.

    Args:
        library: name of the library, see `converters.converter.Converter.library`.
        model: a backbone or an `ImageClassifier`.

    Attributes:
        encoder: ours. pooling: of the classifier; None: an encoder alone.
        num_classes: of the classifier, or 0.
        layout: the `Converter` that writes it. model_class: name of the library's model.
        config: arguments of that.

    Raises:
        UserError: the library has no such model.
    """

    def __init__(self, library, model):
        self.model, self.encoder = model, backbone_of(model)
        self.layout, self.model_class = find_layout(library, model)
        self.pooling = getattr(model, "pooling", None) if model is not self.encoder else None
        self.num_classes = 0 if self.pooling is None else model.num_classes
        self.config = self.layout.config(self.encoder, self.pooling)

    def arrays(self, shapes):
        """{their name: array} for a model of theirs, see `foreign_arrays`."""
        return foreign_arrays(self.layout, self.model, shapes)

    def class_names(self):
        """Names of the classes, or numbers; empty for an encoder."""
        names = getattr(self.model, "class_names", None) if self.num_classes else None
        return list(names) if names else [str(number) for number in range(self.num_classes)]

    def load_torch(self, peer):
        """Give a PyTorch model of theirs our weights; buffers keep what they are."""
        import torch

        state = peer.state_dict()
        arrays = self.arrays({name: tuple(value.shape) for name, value in state.items()})
        state.update({name: torch.from_numpy(array) for name, array in arrays.items()})
        peer.load_state_dict(state)


def last_level(graph):
    """Name of the last feature map in `ServingGraph.outputs`."""
    return list(graph.outputs)[-1]


def write_json(path, content):
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

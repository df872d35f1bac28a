import math

import keras
from keras import ops

from eesmm_keras.layers.map_unit import MapUnit, channel_norm
from eesmm_keras.ops.interpolation import resize_linear

# Share of objects that an untrained head expects (Lin et al., 2017, section 4.1): the many places
# without one would drown the few others at the beginning.
_PRIOR = 0.01


@keras.saving.register_keras_serializable(package="eesmm_keras")
class DetectionHead(keras.layers.Layer):
    """RetinaNet's head (Lin et al., 2017): numbers for a box and its class at every place of a pyramid.

    A feature pyramid (FPN) adds each coarser map to the next finer one; two towers of convolutions, one
    for classes and one for boxes, are shared by all levels. There is one box a place.

    Norms are layer normalisations over channels, as in `PyramidHead` and for its reasons.

    Args:
        dim: width of all maps in it. classes: number of classes.
        depth: convolutions of a tower before its last one.

    Call: list of `(B, h, w, C)`, the finest first -> float32 `(B, places, 4 + classes)`, level behind
    level, rows from the top: numbers of the box (see `ops.box_grid`), and logits of the classes.
    """

    def __init__(self, dim, classes, depth=2, **kwargs):
        super().__init__(**kwargs)
        self.dim, self.classes, self.depth = dim, classes, depth

    def build(self, shapes):
        count = len(shapes)
        self.norms = [self._part(channel_norm, f"input_norm_{i}") for i in range(count)]
        self.laterals = [self._part(MapUnit, f"lateral_{i}", dim=self.dim) for i in range(count)]
        self.smooth = [self._unit(f"smooth_{i}") for i in range(count)]
        self.box_tower = [self._unit(f"box_tower_{i}") for i in range(self.depth)]
        self.class_tower = [self._unit(f"class_tower_{i}") for i in range(self.depth)]
        self.boxes = self._last("boxes", 4, 0.0)
        self.logits = self._last("logits", self.classes, math.log(_PRIOR / (1 - _PRIOR)))

        maps = [(None, *shape[1:3], self.dim) for shape in shapes]
        for layer, shape in zip([*self.norms, *self.laterals], [*shapes, *shapes], strict=True):
            layer.build(shape)
        for layer, shape in zip(self.smooth, maps, strict=True):
            layer.build(shape)
        for layer in (*self.box_tower, *self.class_tower, self.boxes, self.logits):
            layer.build(maps[0])
        self.built = True

    def _part(self, make, name, **arguments):
        return make(name=name, dtype=self.dtype_policy, **arguments)

    def _unit(self, name):
        return self._part(MapUnit, name, dim=self.dim, kernel_size=3)

    def _last(self, name, width, bias):
        # In float32 under every policy: the loss needs it.
        return keras.layers.Dense(
            width,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=keras.initializers.Constant(bias),
            dtype="float32",
            name=name,
        )

    def call(self, maps, training=False):
        maps = [
            lateral(norm(ops.cast(x, self.compute_dtype)))
            for x, norm, lateral in zip(maps, self.norms, self.laterals, strict=True)
        ]
        for i in range(len(maps) - 2, -1, -1):
            maps[i] = maps[i] + resize_linear(maps[i + 1], *maps[i].shape[1:3])
        levels = [self._level(layer(x)) for x, layer in zip(maps, self.smooth, strict=True)]
        return ops.concatenate(levels, axis=1)

    def _level(self, x):
        places = x.shape[1] * x.shape[2]
        boxes, logits = x, x
        for layer in self.box_tower:
            boxes = layer(boxes)
        for layer in self.class_tower:
            logits = layer(logits)
        numbers = ops.concatenate([self.boxes(boxes), self.logits(logits)], axis=-1)
        return ops.reshape(numbers, (-1, places, 4 + self.classes))

    def compute_output_shape(self, shapes):
        return (shapes[0][0], sum(s[1] * s[2] for s in shapes), 4 + self.classes)

    def get_config(self):
        arguments = {"dim": self.dim, "classes": self.classes, "depth": self.depth}
        return {**super().get_config(), **arguments}

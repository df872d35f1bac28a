import keras
from keras import ops

from eesmm_keras.layers.map_unit import MapUnit, channel_norm
from eesmm_keras.ops.interpolation import pool_to, resize_linear


@keras.saving.register_keras_serializable(package="eesmm_keras")
class PyramidHead(keras.layers.Layer):
    """UPerNet's head (Xiao et al., 2018, figure 4): maps of a feature pyramid to one fine map.

    Pyramid pooling (PPM) on the coarsest map; a feature pyramid (FPN) that adds each coarser map to
    the next finer one; all levels, brought to the finest one's size, fused by a convolution.

    Norms are layer normalisations over channels where the paper has batch normalisation: a position
    is normalised by its own numbers, so that neither the batch nor the number of devices matters, and
    a step that is skipped leaves no statistics behind.

    Args:
        dim: width of all maps in it.
        pool_sizes: sides of the grids of pyramid pooling.

    Call: list of `(B, h, w, C)`, the finest first (one map is enough) -> `(B, h, w, dim)` of the first
    one's h and w.
    """

    def __init__(self, dim, pool_sizes=(1, 2, 3, 6), **kwargs):
        super().__init__(**kwargs)
        self.dim, self.pool_sizes = dim, tuple(pool_sizes)

    def build(self, shapes):
        last = len(shapes) - 1
        self.input_norms = [self._part(channel_norm, f"input_norm_{i}") for i in range(last + 1)]
        self.laterals = [self._part(MapUnit, f"lateral_{i}", dim=self.dim) for i in range(last)]
        self.pools = [self._part(MapUnit, f"pool_{side}", dim=self.dim) for side in self.pool_sizes]
        self.pooled = self._part(MapUnit, "pyramid_pooling", dim=self.dim, kernel_size=3)
        self.smooth = [
            self._part(MapUnit, f"smooth_{i}", dim=self.dim, kernel_size=3) for i in range(last)
        ]
        self.fuse = self._part(MapUnit, "fuse", dim=self.dim, kernel_size=3) if last else None

        maps = [(None, *shape[1:3], self.dim) for shape in shapes]
        for norm, shape in zip(self.input_norms, shapes, strict=True):
            norm.build(shape)
        for layer, shape in zip(self.laterals, shapes[:-1], strict=True):
            layer.build(shape)
        for layer in self.pools:
            layer.build(shapes[-1])
        width = shapes[-1][-1] + len(self.pools) * self.dim
        self.pooled.build((*maps[-1][:3], width))
        for layer, shape in zip(self.smooth, maps[:-1], strict=True):
            layer.build(shape)
        if self.fuse:
            self.fuse.build((*maps[0][:3], len(shapes) * self.dim))
        self.built = True

    def _part(self, make, name, **arguments):
        return make(name=name, dtype=self.dtype_policy, **arguments)

    def call(self, maps, training=False):
        maps = [
            norm(ops.cast(x, self.compute_dtype))
            for norm, x in zip(self.input_norms, maps, strict=True)
        ]
        levels = [self._pool(maps[-1])]
        for x, lateral in zip(maps[-2::-1], self.laterals[::-1], strict=True):
            levels.insert(0, lateral(x) + resize_linear(levels[0], *x.shape[1:3]))
        if not self.fuse:
            return levels[0]
        levels = [
            *(layer(x) for layer, x in zip(self.smooth, levels[:-1], strict=True)), levels[-1],
        ]  # fmt: skip
        size = maps[0].shape[1:3]
        return self.fuse(ops.concatenate([resize_linear(x, *size) for x in levels], axis=-1))

    def _pool(self, x):
        size = x.shape[1:3]
        pools = [
            resize_linear(layer(pool_to(x, side)), *size)
            for side, layer in zip(self.pool_sizes, self.pools, strict=True)
        ]
        return self.pooled(ops.concatenate([x, *pools], axis=-1))

    def compute_output_shape(self, shapes):
        return (*shapes[0][:3], self.dim)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "pool_sizes": list(self.pool_sizes)}

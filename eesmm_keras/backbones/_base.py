import keras

from eesmm_keras.layers.fixed_positions import FixedPositions
from eesmm_keras.layers.learned_positions import LearnedPositions
from eesmm_keras.names import check_choice, unknown_name
from eesmm_keras.ops.positions import sincos_positions


class Backbone(keras.Model):
    """What all encoders share.

    A subclass sets `presets`, a dict of constructor arguments by name, and in its constructor
    `_config`, `pooled_output` and `pyramid_outputs`.
    """

    presets = None

    @classmethod
    def from_preset(cls, preset, **kwargs):
        """A backbone of a published size, randomly initialised. `kwargs` override its arguments.

        Raises:
            ValueError: an unknown name; the message lists the known ones.
        """
        if preset not in cls.presets:
            raise ValueError(unknown_name("backbone", preset, cls.presets))
        return cls(**{**cls.presets[preset], **kwargs})

    def feature_extractor(self):
        """Model with the same weights: images -> {"pooled", "feature_map", "P2", "P3", ...}."""
        outputs = {
            "pooled": self.pooled_output,
            "feature_map": self.outputs[0],
            **self.pyramid_outputs,
        }
        return keras.Model(self.input, outputs, name=f"{self.name}_features")

    def get_config(self):
        return {"name": self.name, "trainable": self.trainable, **self._config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def normalization_layer(include, mean, std):
    """Pixels 0..255 to normalised ones; or nothing, where the caller does it."""
    # Pixels keep float32 whatever the policy: half precision would round them.
    if not include:
        return keras.layers.Identity(dtype="float32", name="normalization")
    return keras.layers.Rescaling(
        scale=[1 / (255 * s) for s in std],
        offset=[-m / s for m, s in zip(mean, std, strict=True)],
        dtype="float32",
        name="normalization",
    )


def positions_layer(kind, grid, dim, dtype):
    """Absolute positions of the `(rows, cols)` patches of a grid: "sincos", fixed, or "learned".

    Raises:
        ValueError: another kind.
    """
    check_choice("positions", kind, ("sincos", "learned"))
    if kind == "learned":
        return LearnedPositions(grid[0] * grid[1], dtype=dtype, name="positions")
    return FixedPositions(sincos_positions(grid, dim), dtype=dtype, name="positions")

import keras

from eesmm_keras.converters.importing import build_encoder, import_weights
from eesmm_keras.converters.own_model import OwnWeights
from eesmm_keras.converters.recognition import open_weights
from eesmm_keras.converters.source import is_foreign
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
        """A backbone of a published size, randomly initialised; or of public weights, with these.

        Args:
            preset: a name of `presets`; or a place of weights, see `docs/weights.md`: a file, a folder
                or `hf://OWNER/NAME`.
            kwargs: other arguments than those that the name or the weights stand for.

        Raises:
            ValueError: an unknown name; the message lists the known ones.
            UserError: weights that cannot be read, or are of another kind of encoder.
        """
        if preset not in cls.presets and is_foreign(preset):
            return build_encoder(open_weights(preset), cls=cls, **kwargs)[0]
        if preset not in cls.presets:
            raise ValueError(unknown_name("backbone", preset, cls.presets))
        return cls(**{**cls.presets[preset], **kwargs})

    def resized(self, height, width):
        """The same encoder, with the same weights, for images of another size.

        Where windows or absolute positions depend on the size, theirs are interpolated.

        Raises:
            ValueError: a size that does not fit the encoder's stride.
        """
        shape = (height, width, self.image_shape[2])
        other = type(self).from_config({**self.get_config(), "image_shape": shape})
        import_weights(other, OwnWeights(self, self.name))
        return other

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

import inspect
from typing import ClassVar

import keras
from keras import ops

from eesmm_keras.backbones.presets import PRESETS
from eesmm_keras.checks import (
    MAX_CHANNELS,
    MAX_SIDE,
    MAX_UNITS,
    check_flag,
    check_list,
    check_number,
    check_whole,
)
from eesmm_keras.converters.importing import build_encoder, import_weights
from eesmm_keras.converters.own_model import OwnWeights
from eesmm_keras.converters.recognition import open_weights
from eesmm_keras.converters.source import is_foreign
from eesmm_keras.layers.fixed_positions import FixedPositions
from eesmm_keras.layers.learned_positions import LearnedPositions
from eesmm_keras.names import shortened, unknown_name
from eesmm_keras.ops.patches import images_to_units


def check_encoder(backbone, owner):
    """Raise a ValueError where what a model is built around is no `Backbone`."""
    if not isinstance(backbone, Backbone):
        raise ValueError(
            f"{owner} takes an encoder, such as SwinBackbone.from_preset('swin_mini_32'); got "
            f"{shortened(backbone)}."
        )


class Backbone(keras.Model):
    """What every encoder is and has: the contract that methods, tasks and exports rely on.

    `backbone(images)`: pixel values 0..255 `(B, H, W, C)`, uint8 or float -> the normalised feature
    map `(B, rows, cols, num_features)`, one token per *mask unit*. A mask unit is the square of
    `stride` pixels that becomes one token of the last layer; there are N = rows * cols of them.

    An encoder is one file of this package (or of a plug-in folder): it defines one subclass, with its
    `presets`. A subclass checks its arguments first, makes its layers, calls `super().__init__` with
    the inputs and outputs of the functional model, and sets the attributes below; every argument is
    kept as an attribute of its own name too, from which `get_config` is made.

    Attributes (a default in brackets; those without one must be set):
        dtype_name: name of the layers' dtype policy, or None for the global one; see `dtype_name`.
        presets: class attribute, constructor arguments by preset name [{}].
        image_shape: `(height, width, channels)` of the images.
        stride: side of a mask unit in pixels.
        grid: `(rows, cols)` of the mask units.
        embed_dim: width of a patch token, what `embed` gives.
        num_features: width of an output token.
        num_blocks: number of blocks, for layer-wise learning rates.
        mean, std: per channel, of pixels scaled to 0..1; see `normalization`.
        include_normalization: whether `normalization` does anything inside the graph.
        normalization: layer that turns pixels 0..255 into normalised ones, see
            `normalization_layer`.
        pooled_output: symbolic `(B, num_features)`, what a picture is described by.
        pyramid_outputs: symbolic feature maps by name ("P2" has stride 4, "P3" 8, ...).
        reading: dict of plain values, how the images are read that it was trained on, see
            `data.reading.Reading.facts`; None for 8-bit RGB. An argument of every encoder, which its
            constructor passes on among `kwargs`.
        num_prefix_tokens: tokens that `encode_visible` gives before those of the units [0].
        per_image_masks: whether every image may have its own mask in `encode_visible` [False].
        takes_sides: whether `encode_tokens` takes `side`, which MixMIM needs [False].
        no_weight_decay: names of variables that are not decayed though they are matrices, such as
            tokens and position tables [()].
        stage_depths: number of blocks of each stage, which can be frozen one after the other [each
            block is a stage].

    Methods that a subclass defines:
        `encode_visible(units, plan, training=False)`: *normalised* pixels `(B, V, stride**2 * C)` of
            the visible units and the plan of their mask -> `(B, num_prefix_tokens + V,
            num_features)`; equal to the dense network in which nobody sees a hidden token.
        `planner(examples)`: an object whose `plan(units)` gives the plan of one mask, a nested dict
            of int32 arrays of fixed shapes, or None if the mask does not fit them. `examples`: list
            of int arrays of visible units, all of one length.
        `embed(pixels)`: normalised pixels `(B, H, W, C)` -> patch tokens `(B, h, w, embed_dim)`.
        `encode_tokens(tokens, side=None, training=False)`: these -> the feature map.
        `depth_of(path)`: depth of a variable, 0 ... `num_blocks + 1`, by its path in this model.
        `macs(visible=None)`: multiply-accumulates for one image, see there.
    """

    presets: ClassVar[dict] = {}
    num_prefix_tokens = 0
    per_image_masks = False
    takes_sides = False
    no_weight_decay = ()

    def __init__(self, *args, reading=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.reading = reading

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
            if any(preset in presets for presets in PRESETS.values()):
                raise ValueError(
                    f"{preset!r} is a preset of another class than {cls.__name__}: "
                    f"eesmm_keras.backbones.from_preset({preset!r}) makes it."
                )
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

    @property
    def stage_depths(self):
        return (1,) * self.num_blocks

    @property
    def unit_pixels(self):
        """Numbers in a mask unit: `stride**2 * channels`."""
        return self.stride**2 * self.image_shape[-1]

    def units_of(self, images):
        """Pixel values 0..255 `(..., H, W, C)` -> normalised units `(..., N, stride**2 * C)`."""
        if len(images.shape) == 4:
            return images_to_units(self.normalization(images), self.stride)
        pixels = self.normalization(ops.reshape(images, (-1, *images.shape[-3:])))
        units = images_to_units(pixels, self.stride)
        return ops.reshape(units, (-1, *images.shape[1:-3], *units.shape[1:]))

    def encode_visible(self, units, plan, training=False):
        raise NotImplementedError(f"{type(self).__name__} cannot encode visible units only.")

    def planner(self, examples):
        raise NotImplementedError(f"{type(self).__name__} cannot encode visible units only.")

    def embed(self, pixels):
        raise NotImplementedError(f"{type(self).__name__} gives no patch tokens.")

    def encode_tokens(self, x, side=None, training=False):
        raise NotImplementedError(f"{type(self).__name__} takes no patch tokens.")

    def depth_of(self, path):
        raise NotImplementedError(f"{type(self).__name__} has no layer-wise depths.")

    def macs(self, visible=None):
        """Multiply-accumulates of a forward pass on one image, matrix products only.

        A hidden token costs nothing, and neither does padding: attention is counted over the pairs
        that may see each other. So the ratio of two counts bounds the speed that hiding can give.

        Args:
            visible: int array of the mask units that are encoded; None encodes all.
        """
        raise NotImplementedError(f"{type(self).__name__} does not count its work.")

    def get_config(self):
        """Every argument of the constructor, which keeps each as an attribute of the same name.

        But for `dtype`: `dtype_name` holds the policy's name, or None for the global one.
        """
        arguments = inspect.signature(type(self).__init__).parameters
        own = [name for name in arguments if name not in ("self", "name", "dtype", "kwargs")]
        return {
            "name": self.name,
            "trainable": self.trainable,
            **{name: getattr(self, name) for name in own},
            "dtype": self.dtype_name,
            **({"reading": dict(self.reading)} if self.reading else {}),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def check_images(image_shape, stride, include_normalization, mean, std):
    """Check what all encoders are told of their images.

    Args:
        image_shape: `(height, width, channels)`. stride: side of a mask unit in pixels.
        include_normalization, mean, std: see `Backbone`.

    Returns:
        `(image_shape, mean, std)` as tuples.

    Raises:
        ValueError: of the wrong kind or out of range, or sizes that don't fit together.
    """
    height, width, channels = shape = check_list("image_shape", image_shape, 3)
    for side in (height, width):
        check_whole("image_shape", side, 1, MAX_SIDE)
    check_whole("image_shape", channels, 1, MAX_CHANNELS)
    if height % stride or width % stride:
        below = max(stride, height // stride * stride)
        raise ValueError(
            f"The image size must be a multiple of {stride}, the side of a mask unit, got "
            f"{height}x{width}. Nearest sizes: {below} and {below + stride}."
        )
    if height * width > MAX_UNITS * stride**2:
        raise ValueError(
            f"An image may have up to {MAX_UNITS} mask units; {height}x{width} pixels in units of "
            f"{stride} are more. Choose smaller images or larger units."
        )
    check_flag("include_normalization", include_normalization)
    mean, std = check_list("mean", mean), check_list("std", std)
    if len(mean) != channels or len(std) != channels:
        raise ValueError(
            f"Images of {channels} channels need {channels} numbers each in mean and std, got "
            f"{len(mean)} and {len(std)}. Those of ImageNet fit colour images only."
        )
    for number in mean:
        check_number("mean", number)
    for number in std:
        if check_number("std", number) <= 0:
            raise ValueError(f"std must be positive in every channel, got {std}.")
    return shape, mean, std


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


def dtype_name(dtype):
    """Name of a dtype policy, for a config; None stands for the global one."""
    return None if dtype is None else keras.dtype_policies.get(dtype).name


def positions_layer(kind, grid, dim, dtype):
    """Layer of absolute positions of the `(rows, cols)` patches of a grid: "sincos" or "learned"."""
    if kind == "learned":
        return LearnedPositions(places=grid[0] * grid[1], dtype=dtype, name="positions")
    return FixedPositions(grid=grid, dim=dim, dtype=dtype, name="positions")

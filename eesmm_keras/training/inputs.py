"""What images are to a model: which channels, which numbers, how they are normalised."""

from dataclasses import replace

from eesmm_keras.backbones.constants import IMAGENET_MEAN, IMAGENET_STD
from eesmm_keras.converters.source import is_foreign
from eesmm_keras.data.reading import Reading
from eesmm_keras.data.statistics import Statistics, measure
from eesmm_keras.errors import UserError
from eesmm_keras.saving import encoder_config
from eesmm_keras.training.runs import find_model_file

# Settings that are arguments of `Reading`, and those with which a range that is known means nothing.
_SETTINGS = ("channels", "bands", "pixels", "pages", "tile")
_OTHER_VALUES = ("channels", "bands", "pixels", "pages")


def reading_of(backbone):
    """How an encoder wants images to be read: the `Reading` that it was trained with."""
    channels = backbone.image_shape[2]
    return _reading(backbone.reading, channels)


def _reading(facts, channels):
    if facts is None and channels != 3:
        return Reading(channels=channels)
    return Reading.of(facts)


def start_of(weights):
    """Arguments of the encoder that a run starts from; None where it starts from none.

    Args:
        weights: a run, a `.keras` file or public weights (of which they are not looked at: `{}`).

    Raises:
        UserError: there is no such run, or it has not finished.
    """
    if not weights or weights == "none":
        return None
    return {} if is_foreign(weights) else encoder_config(find_model_file(weights)) or {}


def asked_reading(settings, start=None):
    """`Reading` of a run: what the settings say, and where they say nothing what its weights say.

    Args:
        settings: of the run; None: they say nothing. start: of `start_of`.

    Raises:
        UserError: settings that do not fit together.
    """
    reading = Reading()
    if start:
        reading = _reading(start.get("reading"), start["image_shape"][2])
    if settings is None:
        return reading
    reading = reading.replaced(tile=None)  # a tile is of the images at hand, not of the model
    asked = {key: getattr(settings, key) for key in _SETTINGS}
    asked = {key: value for key, value in asked.items() if value is not None}
    if any(asked.get(key, getattr(reading, key)) != getattr(reading, key) for key in _OTHER_VALUES):
        reading = reading.replaced(low=None, high=None)
    if "channels" in asked and "bands" not in asked:
        asked["bands"] = None
    elif "bands" in asked:
        asked.setdefault("channels", None)
    if not settings.exif:
        asked["exif"] = False
    return reading.replaced(**asked)


class Inputs:
    """What a run's encoder is told of its images, and where that came from.

    Args:
        settings: of the run.
        source: `ImageSource` of the training images; its reading gets the range that is found.
        begun_with: dict of derived numbers of the run that goes on, or None.
        start: of `start_of`; its normalisation holds where the channels are as many.

    Attributes:
        channels: int. reading: `Reading`.
        statistics: `Statistics` that were measured or read; None: the encoder's own mean and deviation.

    Raises:
        UserError: statistics that cannot be read or are of other images; images that cannot be.
    """

    def __init__(self, settings, source, begun_with=None, start=None):
        self.channels = source.channels
        alike = start is not None and start.get("image_shape", (0, 0, 3))[2] == self.channels
        self._start = start if alike else None
        self.statistics = self._find(settings, source, begun_with or {})
        if self.statistics is not None:
            self._check()
            if source.reading.native:
                found = self.statistics
                source.reading = source.reading.replaced(low=found.low, high=found.high)
            elif set(self.statistics.low) != {0.0} or set(self.statistics.high) != {255.0}:
                raise UserError(
                    "These --stats are of native pixels, whose range is not 0..255: add --pixels "
                    "native, or measure again."
                )
        self.reading = source.reading

    def _find(self, settings, source, begun_with):
        if "statistics" in begun_with:
            return Statistics.of(begun_with["statistics"], "config.yaml of the run")
        if settings.stats == "imagenet":
            if self.channels != 3:
                raise UserError(
                    f"--stats imagenet is of 3 channels, and the images have {self.channels}: leave it "
                    "out, or take auto or a file of `eesmm doctor --write-stats`."
                )
            ends = measure(source) if source.reading.native else _EIGHT_BITS
            return replace(ends, mean=tuple(IMAGENET_MEAN), std=tuple(IMAGENET_STD))
        if settings.stats not in (None, "auto"):
            return Statistics.read(settings.stats)
        unknown = source.reading.native and source.reading.low is None
        if settings.stats == "auto" or unknown or (self.channels != 3 and self._start is None):
            return measure(source)
        return None

    def _check(self):
        count = len(self.statistics.mean)
        if count != self.channels:
            raise UserError(
                f"The statistics are of {count} channel{'s' * (count != 1)}, and the images have "
                f"{self.channels}: measure them with the same --channels, --bands and --pixels."
            )

    def read_alike(self, *sources):
        """Let other sources of the run be read in the same way."""
        for source in sources:
            source.reading = self.reading

    def arguments(self):
        """Constructor arguments of the encoder, beside its `image_shape`."""
        found = {"reading": facts} if (facts := self.reading.facts()) else {}
        if self.statistics is not None:
            found.update(mean=self.statistics.mean, std=self.statistics.std)
        elif self.channels != 3:
            found.update(mean=self._start["mean"], std=self._start["std"])
        return found

    def derived(self):
        """What config.yaml holds of it."""
        return {} if self.statistics is None else {"statistics": self.statistics.facts()}

    def in_words(self):
        """Lines for the screen; none for 8-bit RGB with the encoder's own normalisation."""
        if self.reading.facts() is None and self.statistics is None:
            return []
        text = f"Images of {self.channels} channel{'s' * (self.channels != 1)}"
        if self.reading.bands:
            text += f" (bands {', '.join(map(str, self.reading.bands))})"
        if self.reading.native and self.reading.low:
            text += f", values {_ends(self.reading)} as pixels 0..255"
        if self.statistics is not None and self.statistics.images:
            text += f", measured on {self.statistics.images} of them"
        return [text]


_EIGHT_BITS = Statistics((0.0,) * 3, (255.0,) * 3, (0.5,) * 3, (0.25,) * 3)


def _ends(reading):
    pairs = [f"{low:g}..{high:g}" for low, high in zip(reading.low, reading.high, strict=True)]
    return (
        pairs[0] if len(set(pairs)) == 1 else f"{', '.join(pairs[:4])}{', ...' * (len(pairs) > 4)}"
    )

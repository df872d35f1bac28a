"""The parts of the program in a model card that do not depend on the format: the image, the answer."""

from fractions import Fraction


class Steps:
    """What a format's program has in common with those of other formats, see `Format.program`.

    Args:
        metadata: of `exports.metadata.describe`.

    Attributes:
        pillow: the import of what `image` needs.
        image: lines that open `photo.jpg` as `image`, an RGB picture of `(width, height)`, with what
            evaluation shows of it.
        wanted: list of the names of the outputs that `answer` reads.
    """

    def __init__(self, metadata):
        crop, task = metadata["preprocessing"]["central_crop"], metadata.get("task")
        self.pillow = "from PIL import Image" + (", ImageOps" if crop else "")
        self.image = f'image = Image.open("photo.jpg").convert("RGB")\nimage = {_shown(crop)}'
        self._named = metadata["class_names"] is not None
        self.wanted, self._answer = _question(list(metadata["outputs"]), task)

    @property
    def variables(self):
        """The left side of an assignment from a list of the outputs `wanted`."""
        return ", ".join(self.wanted) if len(self.wanted) > 1 else f"({self.wanted[0]},)"

    @property
    def strings(self):
        """The list of the outputs `wanted`, as Python writes it."""
        return f"[{', '.join(map(_quoted, self.wanted))}]"

    def answer(self, class_names, output="{}"):
        """Lines that print what the model says of the image.

        Args:
            class_names: expression of the list of class names.
            output: expression of an output as a NumPy array, with `{}` for its name.
        """
        arrays = {name: output.format(name) for name in self.wanted}
        return self._answer(lambda n: f"{class_names}[{n}]" if self._named else n, arrays)


def _shown(crop):
    size = "(width, height), Image.Resampling.BICUBIC"
    if not crop:
        return f"image.resize({size})"
    margin = Fraction((1 - crop) / 2)  # `bleed` is what is left away at each side
    return f"ImageOps.fit(image, {size}, bleed={margin.numerator} / {margin.denominator})"


def _quoted(name):
    return f'"{name}"'


def _question(outputs, task):
    """Which outputs are read, and the function that writes the lines which read them.

    That gets the function that writes what a class is called, by its number, and the arrays.
    """
    if task == "detection" and {"boxes", "scores"} <= set(outputs):
        return ["boxes", "scores"], _best_box
    if "logits" not in outputs:
        return outputs[:1], _numbers
    return ["logits"], _mask if task == "segmentation" else _class


def _class(called, arrays):
    return f"print({called(arrays['logits'] + '.argmax()')})"


def _mask(called, arrays):
    return f"mask = {arrays['logits']}[0].argmax(-1)"


def _best_box(called, arrays):
    lines = [
        "best = scores[0].max(-1).argmax()",
        f"print({called('scores[0, best].argmax()')}, boxes[0, best])",
    ]
    if any(name != array for name, array in arrays.items()):
        lines.insert(0, f"{', '.join(arrays)} = {', '.join(arrays.values())}")
    return "\n".join(lines)


def _numbers(called, arrays):
    return f"print({next(iter(arrays.values()))}[0])"

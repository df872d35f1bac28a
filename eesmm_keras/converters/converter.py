"""The contract of a converter: which of their names is which of ours."""

import re

import numpy as np

from eesmm_keras.errors import UserError


class Converter:
    """One layout of weights files: how it is read, and (with a `library`) how it is written.

    A variable of ours, `stage_1/block_0/mlp/expand/kernel`, is looked up in `names` without its last
    part and with letters for the numbers: `stage_{a}/block_{b}/mlp/expand` -> their
    `layers.{a}.blocks.{b}.mlp.fc1`, to which `.weight` is added. A value that is a tuple names
    parts that are joined (query, key and value). A variable that is not `kernel`, `bias`, `gamma` or
    `beta` is looked up whole, and its value is their whole name. `{a+1}` in a value is the next number.

    Attributes:
        title: what messages call the layout: "Swin of timm".
        encoder: class of our encoder, "module:Class".
        anchor: their name of the patch embedding's kernel. What stands before it in a file is a
            wrapper (`module.`, `backbone.`), stripped from all names.
        renames: regular expressions and what stands for a match in `names`, for older spellings.
        names: our encoder's paths to their names.
        leaves: last parts of our paths to those of their names; PyTorch's.
        outside: the same for what is beside the encoder in a model (a decoder, a mask token, a head):
            our paths in the model to their names, which may lie outside the encoder's wrapper.
        ignored: regular expression of their names that need no place: buffers that follow from sizes.
        refused: regular expressions of names that our encoder has nothing for -> what to call them.
        note: what is known of the public weights in this layout, their licence first.
        checked: what the converter was compared with.
        library: name of the library whose models are made of ours on the way out; None: read only.
        neutral: regular expressions of their names that our encoder has nothing for -> the number with
            which they do nothing, on the way out.
    """

    title = ""
    encoder = ""
    anchor = ""
    renames = ()
    names = {}
    leaves = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
    outside = {}
    ignored = r"$^"
    refused = {}
    note = ""
    checked = ""
    library = None
    neutral = {}

    def matches(self, names, outer):
        """Whether a file is of this layout.

        Args:
            names: a set of the encoder's names, wrapper stripped and old spellings renamed.
            outer: the names outside the wrapper. Of several layouts that match, the one listed in
                `recognition` as more special wins by `rank`.
        """
        raise NotImplementedError

    # Higher ranks are asked first.
    rank = 0

    def arguments(self, weights):
        """Constructor arguments of our encoder.

        Args:
            weights: `recognition.Weights`.

        Raises:
            UserError: what the file holds is not what our encoder can be.
        """
        raise NotImplementedError

    def array(self, path, weights):
        """Our variable's array at the source's own sizes, or None where the source has none.

        Args:
            path: of the variable inside its encoder, or inside its model where `outside` names it.
        """
        names = self.theirs(path)
        if not names or not all(name in weights for name in names):
            return None
        return self.join(path, [weights.array(name) for name in names])

    def join(self, path, parts):
        """Their arrays for a variable as one of ours: PyTorch's kernels are transposed."""
        if path.endswith("/kernel"):
            parts = [_kernel(part) for part in parts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def patches(self, weights):
        """`(width, channels, [rows, cols])` of the patch embedding."""
        out, channels, *patch = weights.shape(self.anchor)
        return out, channels, patch

    def theirs(self, path):
        """Their names for a variable of ours: a tuple, empty if the layout has none."""
        whole, numbers = _template(path)
        tables = {**self.outside, **self.names}
        value = tables.get(whole)
        if value is not None:
            return _fill(value, numbers, "")
        above, _, leaf = whole.rpartition("/")
        value = tables.get(above)
        if value is None or leaf not in self.leaves:
            return ()
        return _fill(value, numbers, f".{self.leaves[leaf]}")

    def adjust(self, path, array, weights):
        """The array once more, for layouts whose numbers stand in another order.

        Returns:
            `(array, note)`: the note says what was done; None: nothing.
        """
        return array, None

    def pooling(self, weights):
        """How their classifier makes one vector of the tokens: "mean" or "token"; None: otherwise."""
        return "mean"

    # === The way out ===

    def model_class(self, encoder, pooling):
        """Name of their model that a model of ours becomes; None: they have none.

        Args:
            encoder: of ours, an instance of `encoder`.
            pooling: of the classifier, "mean" or "token"; None: the encoder alone.
        """
        return None

    def config(self, encoder, pooling):
        """Arguments of their model for one of ours: the inverse of `arguments`, in JSON types.

        Args:
            encoder, pooling: see `model_class`.

        Raises:
            UserError: ours is what theirs cannot be.
        """
        raise NotImplementedError

    def parts(self, path, array, shapes):
        """A variable of ours as theirs: the inverse of `array`.

        Args:
            path: see `array`. array: ours. shapes: of theirs, in the order of `theirs(path)`.
        """
        return self.split(path, array, shapes)

    def split(self, path, array, shapes):
        """The inverse of `join`, for their shapes."""
        parts = np.split(array, len(shapes), axis=-1)
        turn = _their_kernel if path.endswith("/kernel") else np.reshape
        return [turn(part, shape) for part, shape in zip(parts, shapes, strict=True)]

    def problem(self, part, weights):
        """Why a part outside the encoder, "decoder" say, cannot be taken over; None if nothing speaks
        against it."""
        return None


def _kernel(part):
    """`(out, in)` or `(out, in, rows, cols)` -> `(in, out)`; pixels row by row, channels last."""
    if part.ndim == 4:
        part = part.transpose(0, 2, 3, 1).reshape(len(part), -1)
    if part.ndim != 2:
        raise UserError(f"A kernel must have 2 or 4 axes, got one of shape {part.shape}.")
    return part.T


def _their_kernel(part, shape):
    """The inverse of `_kernel`."""
    if len(shape) == 4:
        out, channels, rows, cols = shape
        return part.T.reshape(out, rows, cols, channels).transpose(0, 3, 1, 2)
    return part.T.reshape(shape)


def _template(path):
    """`stage_1/block_0/norm1` -> `("stage_{a}/block_{b}/norm1", {"a": 1, "b": 0})`."""
    numbers = {}

    def letter(match):
        name = "abc"[len(numbers)]
        numbers[name] = int(match[1])
        return f"_{{{name}}}"

    return re.sub(r"_(\d+)(?=/|$)", letter, path), numbers


def _fill(value, numbers, ending):
    names = value if isinstance(value, tuple) else (value,)
    for letter, number in numbers.items():
        names = tuple(
            name.replace(f"{{{letter}}}", str(number)).replace(f"{{{letter}+1}}", str(number + 1))
            for name in names
        )
    return tuple(name + ending for name in names)

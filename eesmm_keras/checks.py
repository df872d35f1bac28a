"""Checks that constructors make of their own arguments.

Each raises a ValueError that says in one line which argument it is, what was expected and what came.
"""

import math
import numbers

from eesmm_keras.names import unknown_name

# What a constructor takes at most. Each is several times what any published model needs; a file or a
# recipe that asks for more is refused before anything is built, instead of filling the memory.
MAX_SIDE = 4096  # pixels along one side of an image
MAX_UNITS = 65536  # mask units of an image
MAX_CHANNELS = 64
MAX_WIDTH = 16384  # numbers in a token
MAX_DEPTH = 256  # blocks of an encoder or decoder
MAX_HEADS = 1024
MAX_WINDOW = 64  # tokens along one side of a window
MAX_MLP_RATIO = 64
MAX_PARAMETERS = 2**32  # of an encoder's or decoder's blocks
MAX_MASKS = 8192  # masks of a bank
MAX_VIEWS = 64  # masked views of an image
MAX_MIXED = 8  # images in a mix: the best of all their orders is looked for


def check_choice(argument, value, known):
    """One of a few known values; the message lists them."""
    if value not in known:
        raise ValueError(unknown_name(argument, value, known))
    return value


def check_whole(argument, value, low, high):
    """A whole number in [low, high]; returned as an int."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ValueError(f"{argument} must be a whole number, got {value!r}.")
    if not low <= value <= high:
        raise ValueError(f"{argument} must be a whole number from {low} to {high}, got {value}.")
    return int(value)


def check_number(argument, value, low=-math.inf, high=math.inf):
    """A finite number in [low, high]; returned as it is."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise ValueError(f"{argument} must be a number, got {value!r}.")
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{argument} must be a number from {low} to {high}, got {value}.")
    return value


def check_share(argument, value):
    """A share of a whole that is neither nothing nor all: a number between 0 and 1."""
    check_number(argument, value)
    if not 0 < value < 1:
        raise ValueError(f"{argument} must lie between 0 and 1, both left out; got {value}.")
    return value


def check_rate(argument, value):
    """A probability of dropping something: a number in [0, 1)."""
    check_number(argument, value)
    if not 0 <= value < 1:
        raise ValueError(f"{argument} must lie in [0, 1), got {value}.")
    return value


def check_flag(argument, value):
    """True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{argument} must be true or false, got {value!r}.")
    return value


def check_list(argument, values, count=None):
    """A list or tuple, of `count` values if given; returned as a tuple."""
    if not isinstance(values, list | tuple) or (count is not None and len(values) != count):
        wanted = "a list" if count is None else f"a list of {count} values"
        raise ValueError(f"{argument} must be {wanted}, got {values!r}.")
    return tuple(values)


def check_transformer(dim, depth, num_heads, mlp_ratio=4.0, prefix=""):
    """Sizes of a stack of transformer blocks, before it is built.

    Args:
        dim: width of a token. depth: number of blocks. num_heads: divides `dim`.
        mlp_ratio: MLP width over `dim`.
        prefix: before the arguments' names in messages: "decoder_".
    """
    check_whole(f"{prefix}dim", dim, 1, MAX_WIDTH)
    check_whole(f"{prefix}depth", depth, 1, MAX_DEPTH)
    check_heads(f"{prefix}num_heads", num_heads, dim)
    check_number("mlp_ratio", mlp_ratio, 1e-3, MAX_MLP_RATIO)
    check_parameters(depth * block_parameters(dim, mlp_ratio))


def check_heads(argument, num_heads, dim):
    """A number of attention heads that divides the width `dim`; returned as an int."""
    check_whole(argument, num_heads, 1, MAX_HEADS)
    if dim % num_heads:
        raise ValueError(f"{argument} must divide the width {dim}, got {num_heads}.")
    return int(num_heads)


def block_parameters(dim, mlp_ratio):
    """Numbers in the kernels of one transformer block."""
    return int((4 + 2 * mlp_ratio) * dim * dim)


def check_parameters(count):
    """No more parameters than `MAX_PARAMETERS`."""
    if count > MAX_PARAMETERS:
        raise ValueError(
            f"These sizes ask for {count:.3g} parameters; {MAX_PARAMETERS:.3g} are the limit. Choose "
            "a smaller width or depth."
        )


def check_sides(backbone):
    """Raise a ValueError unless an encoder keeps the tokens of two images apart (MixMIM)."""
    if not backbone.takes_sides:
        raise ValueError(
            "Tokens of two images kept apart need a SwinBackbone: "
            f"{type(backbone).__name__} has no sides."
        )

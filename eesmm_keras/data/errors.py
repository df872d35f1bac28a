"""The one error that users of the data part see, and what it says of images that cannot be read."""

from eesmm_keras.errors import UserError
from eesmm_keras.names import counted


class DataError(UserError):
    """Something is wrong with the images or with how they were asked for.

    The message says what was expected, what was found and what to do about it.
    """


def all_bad(name, bad):
    """The DataError for a source of which nothing is left."""
    first = {why: what for what, why in reversed(bad)}  # of each reason
    shown = "; ".join(f"{what}: {why}" for why, what in list(first.items())[:-4:-1])
    more = "; and so on" if len(bad) > min(3, len(first)) else ""
    return DataError(
        f"None of the {len(bad)} images of '{name}' can be read. {shown}{more}. "
        "eesmm docs data tells what is read, and how."
    )


def too_many_bad(name, bad, allowed):
    """The DataError for a source with more bad images than may be skipped.

    Args:
        bad: list of pairs, an image and why it cannot be read.
    """
    shown = "; ".join(f"{what} {why}" for what, why in bad[:3])
    return DataError(
        f"{counted(len(bad), 'image')} of '{name}' cannot be read, more than the {allowed} that may be "
        f"skipped. The first: {shown}. Repair or remove them (`eesmm doctor --list FILE` names them "
        "all), check the disk, or allow more with --max-bad-images."
    )

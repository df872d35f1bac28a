"""The one error that users of the data part see."""

from eesmm_keras.errors import UserError


class DataError(UserError):
    """Something is wrong with the images or with how they were asked for.

    The message says what was expected, what was found and what to do about it.
    """

"""Errors that a user can act on. The command line shows their text alone, without a traceback."""


class UserError(ValueError):
    """Something given from outside is wrong: what was expected, what came, what to do."""


class Interrupted(UserError):
    """A run was told to stop, and did so at a point from where it can go on."""

    exit_code = 75  # EX_TEMPFAIL: try the same again

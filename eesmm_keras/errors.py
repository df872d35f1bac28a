"""Errors that a user can act on. The command line shows their text alone, without a traceback."""


class UserError(ValueError):
    """Something given from outside is wrong: what was expected, what came, what to do."""

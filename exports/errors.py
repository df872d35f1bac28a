"""What goes wrong in an export, said so that the user can act on it."""

from eesmm_keras.errors import UserError


class ExportError(UserError):
    """The export was refused or failed; nothing is left under the name asked for."""

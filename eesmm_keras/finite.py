"""What a model gives must be finite."""

import numpy as np

from eesmm_keras.errors import UserError


def check_finite(outputs):
    """The outputs of a model, an array.

    Raises:
        UserError: they are not finite.
    """
    if not np.isfinite(outputs).all():
        raise UserError(
            "The model's outputs are not finite: its weights hold NaN or infinity. Take those of a run "
            "that did not diverge."
        )
    return outputs

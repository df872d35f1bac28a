"""Probes, found by file name; their contract is `evaluation.probe.Probe`."""

import inspect

from eesmm_keras.errors import UserError
from eesmm_keras.names import split_arguments, unknown_name
from eesmm_keras.registry import Family

PROBES = Family(
    "probes",
    kind="probe",
    package="eesmm_keras.evaluation.probes",
    contract="eesmm_keras.evaluation.probe:Probe",
)


def make_probe(text):
    """A probe by name, with arguments if need be: "knn", "knn:k=5".

    Raises:
        UserError: an unknown name or argument, or a bad value.
    """
    name, arguments = split_arguments(text)
    cls = PROBES.get(name)
    for key in arguments:
        known = inspect.signature(cls).parameters
        if key not in known:
            raise UserError(unknown_name(f"argument of {name}", key, known))
    return cls(**arguments)

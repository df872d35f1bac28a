"""Export from the JAX and torch backends: the same steps in a TensorFlow child process."""

import dataclasses
import os
import tempfile
from pathlib import Path

import numpy as np

from eesmm_keras.child_process import ChildFailed, ask, serve
from eesmm_keras.errors import UserError
from eesmm_keras.exports.errors import ExportError
from eesmm_keras.exports.process import child_environment
from eesmm_keras.exports.reduction import Reduction
from eesmm_keras.exports.report import ExportReport


def export_in_child(source, fmt, out, *, sample_images, reduction=None, **options):
    """`export_model` in a fresh process on the TensorFlow backend; weights travel as `.keras`.

    Raises:
        ExportError: what the child raised, or the end of its messages if it broke down.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if not isinstance(source, str | os.PathLike):
            model, source = source, folder / "model.keras"
            model.save(source)
        samples = None
        if sample_images is not None:
            samples = str(folder / "samples.npy")
            np.save(samples, np.asarray(sample_images))
        job = {
            "source": str(Path(source).absolute()),
            "fmt": fmt,
            "out": str(out.absolute()),
            "sample_images": samples,
            "reduction": reduction and _packed(reduction, folder / "reduction.npz"),
            **options,
        }
        try:
            result = ask("eesmm_keras.exports.worker", job, child_environment())
        except ChildFailed as error:
            raise ExportError(f"The export process failed: {error.log or error}") from error
        except UserError as error:
            raise ExportError(str(error)) from error
    outputs = {name: tuple(shape) for name, shape in result["outputs"].items()}
    return ExportReport(**{**result, "path": str(out), "outputs": outputs})


_ARRAYS = ("calibration", "images", "labels")


def _packed(reduction, path):
    """A `Reduction` as JSON types; its arrays go to a file."""
    arrays = {name: getattr(reduction, name) for name in _ARRAYS}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return {"precision": reduction.precision, "max_drop": reduction.max_drop, "arrays": str(path)}


def unpacked(packed):
    """The `Reduction` that `_packed` packed."""
    with np.load(packed.pop("arrays")) as arrays:
        return Reduction(**packed, **dict(arrays))


def export_job(job):
    """The child's side: the report of an export as a dict."""
    from eesmm_keras.exports.export import export_model

    samples = job["sample_images"]
    job["sample_images"] = None if samples is None else np.load(samples)
    job["reduction"] = job["reduction"] and unpacked(job["reduction"])
    return dataclasses.asdict(export_model(**job))


if __name__ == "__main__":
    serve(export_job)

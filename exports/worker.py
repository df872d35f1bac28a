"""Export from the JAX and torch backends: the same steps in a TensorFlow child process."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from eesmm_keras.exports.errors import ExportError
from eesmm_keras.exports.process import child_environment, last_lines
from eesmm_keras.exports.report import ExportReport


def export_in_child(source, fmt, out, *, sample_images, **options):
    """`export_model` in a fresh process on the TensorFlow backend; weights travel as `.keras`.

    Raises:
        ExportError: what the child raised, or the end of its messages if it broke down.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if not isinstance(source, str | os.PathLike):
            model, source = source, folder / "model.keras"
            model.save(source)
        if sample_images is not None:
            np.save(folder / "samples.npy", np.asarray(sample_images))
        job = {
            "source": str(Path(source).absolute()),
            "fmt": fmt,
            "out": str(out.absolute()),
            **options,
        }
        (folder / "job.json").write_text(json.dumps(job))
        command = [sys.executable, "-m", "eesmm_keras.exports.worker", str(folder)]
        done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
        if done.returncode:
            raise ExportError(f"The export process failed: {last_lines(done)}")
        result = json.loads((folder / "result.json").read_text())
    if "error" in result:
        raise ExportError(result["error"])
    outputs = {name: tuple(shape) for name, shape in result["outputs"].items()}
    return ExportReport(**{**result, "path": str(out), "outputs": outputs})


def main(folder):
    """The child's side: read `job.json` in `folder`, export, write `result.json` there."""
    from eesmm_keras.exports.export import export_model

    folder = Path(folder)
    job = json.loads((folder / "job.json").read_text())
    samples = folder / "samples.npy"
    job["sample_images"] = np.load(samples) if samples.exists() else None
    try:
        result = dataclasses.asdict(export_model(**job))
    except ExportError as error:
        result = {"error": str(error)}
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])

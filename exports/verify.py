"""Proof that an exported file computes what Keras computes."""

import inspect
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from eesmm_keras.exports import format as contract
from eesmm_keras.exports.errors import ExportError
from eesmm_keras.exports.graph import named_outputs
from eesmm_keras.exports.process import child_environment, last_lines
from eesmm_keras.exports.source import as_float32, backbone_of, normalise

_SCRIPT = Path(__file__).with_name("_clean_run.py")


def comparison_batches(sample_images, image_shape, resize, floats=False):
    """The batches of pixels to compare on, by name: of one image, of five, and of another size.

    Args:
        sample_images: `(N >= 5, H, W, C)`, or None for scikit-learn's two photographs (their colours
            by turns, for other channels than three).
        image_shape: `(H, W, C)` of the model.
        resize: adds a batch that is taller than the model's input and narrower, so that the
            resize inside the graph both shrinks and enlarges.
        floats: whether pixels are float32 and not uint8.

    Raises:
        ExportError: fewer than five images, wrong dtype or wrong shape.
    """
    kind = np.dtype(np.float32 if floats else np.uint8)
    images = np.asarray(_photographs(image_shape) if sample_images is None else sample_images)
    images = images.astype(kind) if sample_images is None else images
    expected = "any size" if resize else f"{image_shape[0]} x {image_shape[1]}"
    fits = images.ndim == 4 and (resize or images.shape[1:] == tuple(image_shape))
    channels = image_shape[2]
    if not fits or len(images) < 5 or images.shape[3] != channels or images.dtype != kind:
        raise ExportError(
            f"Expected `sample_images` of at least 5 {kind} images of {channels} channels, "
            f"{expected}, received: {images.dtype} of shape {images.shape}"
        )
    batches = {"batch_1": images[:1], "batch_5": images[:5]}
    if resize:
        width = images.shape[2]
        batches["batch_5_other_size"] = np.repeat(images[:5], 2, axis=1)[:, :, : 3 * width // 4]
    return batches


def _photographs(image_shape):
    """Five crops of two photographs, uint8 `(5, H, W, C)`."""
    from sklearn.datasets import load_sample_images

    first, second = load_sample_images().images
    crops = [first, first[:200, :200], first[200:, 300:], second, second[100:300, 200:500]]
    resized = [tf.image.resize(x, image_shape[:2], antialias=True) for x in crops]
    pixels = np.rint(np.clip(resized, 0, 255)).astype("uint8")
    return pixels[..., np.arange(image_shape[2]) % 3]


def reference_outputs(model, batches, features, names):
    """What `model` as given (float32, TensorFlow backend) says of the pixel `batches`.

    The model is fed as a user feeds it, apart from the exported graph: a graph that normalises or
    resizes wrongly shows here. Returns {batch: {output: float32 array}} for the outputs in `names`.
    """
    original = as_float32(model)
    backbone = backbone_of(original)
    network = named_outputs(original, features)
    size = tuple(backbone.image_shape[:2])
    results = {}
    for name, images in batches.items():
        pixels = images.astype("float32")
        if pixels.shape[1:3] != size:
            pixels = tf.image.resize(pixels, size, antialias=True).numpy()
        if not backbone.include_normalization:
            pixels = normalise(pixels, backbone)
        found = network(pixels)
        results[name] = {key: np.asarray(found[key], "float32") for key in names}
    return results


def run_export(fmt, path, batches):
    """Outputs of the exported file, from a fresh process without this package or (mostly) Keras.

    Args:
        fmt: `Format`, of which the process reads the file.
        path: the export.
        batches: {batch: array in the form the exported graph takes}.

    Returns:
        {batch: {output: float32 array}}.

    Raises:
        ExportError: the file does not load or run there.
    """
    results = {batch: {} for batch in batches}
    for key, array in _in_clean_process(fmt, batches, path).items():
        batch, name = key.split("/", 1)
        results[batch][name] = array
    return results


def latency_ratio(fmt, path, reference, batch):
    """Median time of a batch through an export over that of another export; they take turns.

    Args:
        fmt: `Format` of both, which defines `open`. path, reference: of the two exports.
        batch: array in the form that both take.
    """
    seconds = _in_clean_process(fmt, {"batch": batch}, path, reference)["batch"]
    mine, other = np.median(seconds, axis=0)
    return float(mine / other)


def _in_clean_process(fmt, batches, *exports):
    """{name: array} that `_clean_run.py` writes."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
        np.savez(inputs, **batches)
        code = [contract.__file__, inspect.getfile(type(fmt)), type(fmt).__name__]
        command = [sys.executable, _SCRIPT, *code, inputs, outputs, *exports]
        done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
        if done.returncode:
            raise ExportError(f"The exported file does not run by itself: {last_lines(done)}")
        with np.load(outputs) as arrays:
            return dict(arrays)


def compare(expected, found, tolerance, scaled=False):
    """Largest absolute differences and what is allowed, both by output.

    The tolerance is absolute for the outputs of a task. Feature maps carry no fixed scale, so theirs
    is `scaled`: it grows with their largest magnitude where that exceeds one. `tolerance` None allows
    any difference between finite numbers; a limit is then None.

    Returns:
        `(differences, limits)`: {output: {batch: float}} and {output: float or None}.

    Raises:
        ExportError: an output is missing, of another shape, not finite, or over its limit.
    """
    names = list(next(iter(expected.values())))
    differences = {name: {} for name in names}
    limits = {name: np.finfo("float32").max if tolerance is None else tolerance for name in names}
    for batch, outputs in expected.items():
        if {k: v.shape for k, v in outputs.items()} != {
            k: v.shape for k, v in found[batch].items()
        }:
            raise ExportError(f"The exported file returns other outputs than Keras for {batch}.")
        for name, value in outputs.items():
            differences[name][batch] = float(np.abs(found[batch][name] - value).max())
            if scaled and tolerance is not None:
                limits[name] = max(limits[name], tolerance * float(np.abs(value).max()))
    over = {
        name: worst
        for name in names
        # Written so that a NaN fails.
        if not (worst := float(np.max(list(differences[name].values())))) <= limits[name]
    }
    if over:
        figures = ", ".join(f"{k} by {v:.3g} (allowed {limits[k]:.3g})" for k, v in over.items())
        raise ExportError(f"The exported file differs from Keras: {figures}. Nothing was kept.")
    return differences, dict.fromkeys(names) if tolerance is None else limits

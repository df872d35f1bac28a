"""`export_model`: the one function of this package that users call."""

import importlib.util
import os
from pathlib import Path

from eesmm_keras.errors import UserError
from eesmm_keras.exports.destination import check_destination
from eesmm_keras.exports.errors import ExportError
from eesmm_keras.exports.formats import FORMATS


def export_model(
    source,
    fmt,
    out,
    *,
    preprocessing=True,
    features=False,
    resize=False,
    sample_images=None,
    tolerance=1e-3,
    overwrite=False,
    origin=None,
    reduction=None,
):
    """Write a fine-tuned model or a backbone to a file that needs neither Keras nor this package.

    The graph computes in float32 whatever policy the model was trained in, takes any batch size,
    and carries its metadata. Before the file gets its name, a fresh process runs it on real images;
    how far it is from Keras goes to `parity.json`, in the exported folder or beside the file. A model
    card says where it came from and how it is used: `README.md` in the folder, or `NAME.README.md`
    beside the file.

    Args:
        source: path of a `.keras` file, or a Keras model.
        fmt: name of a format, see `exports.formats`.
        out: where to write: a file or a folder, as the format has it.
        preprocessing: True: the input `images` is pixels 0..255 `(B, H, W, C)`, normalised inside;
            uint8, or float32 where the model was trained on native pixels.

            False: it is float32, already `(x / 255 - mean) / std`.
        features: True: outputs `pooled (B, C)` and the pyramid levels `P2`, ... False: those of the
            task, such as `logits (B, num_classes)`. A backbone always gives features.
        resize: True: images of any size, resized inside (bilinear, antialiased).
        sample_images: such pixels `(N >= 5, H, W, C)` to compare on; default: crops of photographs.
        tolerance: largest absolute difference allowed on a task's outputs; on features it is
            multiplied by their largest magnitude where that exceeds one.
        overwrite: replace an earlier export under the same name.
        origin: for the model card, where `source` came from: a run, a `.keras` file or public weights;
            default: `source`, where it is a path.
        reduction: `Reduction` to float16 or int8, or None: float32. It says on which images the
            smaller file is judged; see docs/exports.md.

    Returns:
        An `ExportReport`.

    Raises:
        ExportError: bad arguments, a source that does not load, a place that cannot be written, or
            a file that differs from Keras. Nothing is left under the name `out`.
    """
    options = {
        "preprocessing": preprocessing,
        "features": features,
        "resize": resize,
        "tolerance": tolerance,
        "overwrite": overwrite,
        "origin": origin if origin is None else str(origin),
        "reduction": reduction,
    }
    if origin is None and isinstance(source, str | os.PathLike):
        options["origin"] = str(source)
    _check(fmt, Path(out), **options)
    return _export(source, fmt, Path(out), sample_images=sample_images, **options)


def _check(fmt, out, *, preprocessing, resize, tolerance, overwrite, reduction, **_):
    try:
        kind = FORMATS.get(fmt)()
    except UserError as error:
        raise ExportError(str(error)) from error
    missing = [name for name in kind.needs if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(
            f"The format {fmt} needs {' and '.join(missing)}: pip install "
            f"'eesmm-keras[{kind.extra}]'."
        )
    if kind.model_input and (resize or not preprocessing):
        raise ExportError(
            f"The input of the format {fmt} is fixed by the library that opens it (normalised pixels "
            "of one size): leave out --resize and --no-preprocessing."
        )
    if not tolerance > 0:
        raise ExportError(f"Expected a positive `tolerance`, received: {tolerance!r}")
    if reduction is not None:
        reduction.check(fmt, kind)
    check_destination(out, kind, overwrite)


def _export(source, fmt, out, **options):
    """Here, or in a child process with TensorFlow."""
    # Imported here: both sides pull in Keras, and the checks should not wait for it.
    import keras

    if keras.backend.backend() != "tensorflow":
        from eesmm_keras.exports.worker import export_in_child

        return export_in_child(source, fmt, out, **options)

    from eesmm_keras.exports.pipeline import run_pipeline
    from eesmm_keras.exports.source import load_source

    model = load_source(source) if isinstance(source, str | os.PathLike) else source
    return run_pipeline(model, fmt, out, **options)

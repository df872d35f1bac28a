"""Run an exported file with its own runtime alone: a script, never imported.

    python _clean_run.py {onnx|savedmodel} EXPORT INPUTS.npz OUTPUTS.npz

INPUTS holds one array per test batch. OUTPUTS receives one array per batch and output, under
the name `batch/output`.
"""

import sys

sys.path.pop(0)  # This folder: its `onnx.py` must not stand in for the onnx package.
for forbidden in ("keras", "eesmm_keras"):
    sys.modules[forbidden] = None  # From here on, importing it is an ImportError.

import numpy as np  # noqa: E402


def open_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda x: dict(zip(names, session.run(names, {"images": x}), strict=True))


def open_saved_model(path):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    serve = loaded.signatures["serving_default"]
    # `loaded` rides along: the variables die with it.
    return lambda x, _alive=loaded: {
        name: y.numpy() for name, y in serve(images=tf.constant(x)).items()
    }


def main(fmt, export, inputs, outputs):
    run = {"onnx": open_onnx, "savedmodel": open_saved_model}[fmt](export)
    with np.load(inputs) as batches:
        results = {
            f"{batch}/{name}": y for batch in batches for name, y in run(batches[batch]).items()
        }
    np.savez(outputs, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])

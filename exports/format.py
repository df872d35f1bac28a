"""The contract of an export format: the one class that a format's file defines.

Nothing is imported here: the clean process that proves an export reads this file too.
"""


class Format:
    """A kind of file that a trained model is exported to.

    The member NAME of the family is `exports/formats/NAME.py`, or a plug-in `formats/NAME.py`; NAME is
    what `--format` takes. The file is read twice: by the command, which calls `write`, and by a clean
    process, which calls `run` and in which neither `keras` nor anything of `eesmm_keras` but this
    contract can be imported. So its other imports of this package, and all that only `write` needs,
    stand inside `write`.

    Attributes:
        description: what the report calls the format, such as "ONNX, opset 18".
        suffix: what the name of an export must end in; "" where any name will do.
    """

    description = ""
    suffix = ""

    def write(self, graph, metadata, path):
        """Write a model. Runs on the TensorFlow backend, in the process of the export.

        Args:
            graph: `exports.graph.ServingGraph`: the inference function as a `tf.function`.
            metadata: dict of JSON types that the file must carry, see `exports.metadata.describe`.
            path: `pathlib.Path` of a file or folder that does not exist yet, in a folder that does.

        Raises:
            ExportError: the format cannot hold this model.
        """
        raise NotImplementedError

    def run(self, path, batches):
        """Compute an export's outputs with the format's own runtime alone. Runs in the clean process.

        Args:
            path: str, what `write` wrote.
            batches: {name: array `(B, H, W, 3)`} of `metadata["input"]["dtype"]`; B differs.

        Returns:
            {name: {output: float32 array}}, the outputs by the names of `graph.outputs`.
        """
        raise NotImplementedError

    def owns(self, path):
        """Whether what lies at `path` (a `Path`, it exists) is plainly an export of this format.

        Only then may it be overwritten. Here: whether it is a file; a format that writes folders says
        by what it knows them.
        """
        return path.is_file()

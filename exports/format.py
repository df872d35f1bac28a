"""The contract of an export format: the one class that a format's file defines.

Nothing is imported here: the clean process that proves an export reads this file too.
"""


class Format:
    """A kind of file that a trained model is exported to.

    The member NAME of the family is `exports/formats/NAME.py`, or a plug-in `formats/NAME.py`; NAME is
    what `--format` takes. The file is read twice: by the command, which calls `write`, and by a clean
    process, which calls `run` and in which nothing of `eesmm_keras` but this contract can be imported,
    nor `keras` unless the format says so. So its other imports of this package, and all that only
    `write` needs, stand inside `write`.

    Attributes:
        description: what the report calls the format, such as "ONNX, opset 18".
        suffix: what the name of an export must end in; "" where any name will do.
        needs: names of the modules that it needs and this package does not bring.
        extra: the extra of this package that brings them: `pip install 'eesmm-keras[EXTRA]'`.
        uses_keras: whether its own runtime is made of Keras, so that `run` may import it.
        model_input: None: the exported function takes `images` `(B, H, W, C)`, as `preprocessing` and
            `resize` say. Or `(name, layout)` of what the exported model takes, for a format whose
            library fixes that: float32 that is normalised outside, in "NCHW" or "NHWC". Then neither
            choice is there, and `run` normalises the pixels that it gets, as the export says.
        precisions: those that it can be written in: "float32", and any of "float16" and "int8", which
            `write_smaller` writes.
        library: what the Hugging Face hub calls the library that opens the file, for the model card;
            None: it has no name there.
        example: Python that loads an export, `PATH`, and computes with it, see `program`.
    """

    description = ""
    suffix = ""
    needs = ()
    extra = ""
    uses_keras = False
    model_input = None
    precisions = ("float32",)
    library = None
    example = ""

    def program(self, steps):
        """The program in the model card: Python that loads an export, `PATH`, and computes with it.

        Here: `example`, for a format whose library prepares images by itself.

        Args:
            steps: `exports.using.Steps`: the lines that open an image and those that print the answer.

        Returns:
            str; "" for no program.
        """
        return self.example

    def outputs(self, graph):
        """Names of those of `graph.outputs` that the export gives and is compared on; here: all."""
        return list(graph.outputs)

    def write(self, graph, metadata, path):
        """Write a model. Runs on the TensorFlow backend, in the process of the export.

        Args:
            graph: `exports.graph.ServingGraph`: the inference function as a `tf.function`, and the
                model that it is made of.
            metadata: dict of JSON types that the file must carry, see `exports.metadata.describe`.
            path: `pathlib.Path` of a file or folder that does not exist yet, in a folder that does.

        Raises:
            UserError: the format cannot hold this model.
        """
        raise NotImplementedError

    def write_smaller(self, graph, metadata, path, precision, images):
        """Write a model in a lower precision than float32. Runs where `write` does.

        Args:
            graph, metadata, path: see `write`.
            precision: one of `precisions`.
            images: array `(N, H, W, C)` of what `graph.function` takes, from which the ranges of
                activations are known; None where nobody gave any, never with "int8".

        Raises:
            UserError: the format cannot hold this model in that precision.
        """
        raise NotImplementedError

    def open(self, path):
        """A function that computes with the format's own runtime alone. Runs in the clean process.

        Args:
            path: str, what `write` wrote.

        Returns:
            function of an array as in `run`, which returns {output: float32 array}.
        """
        raise NotImplementedError

    def run(self, path, batches):
        """Compute an export's outputs with the format's own runtime alone. Runs in the clean process.

        Here: with what `open` gives. A format of more than one precision must define `open`, by which
        the time of an image is measured.

        Args:
            path: str, what `write` wrote.
            batches: {name: array `(B, H, W, C)`}; B differs. Of `metadata["input"]["dtype"]`; or uint8
                pixels, where the format has a `model_input`.

        Returns:
            {name: {output: float32 array}}, the outputs by the names that `outputs` gave.
        """
        compute = self.open(path)
        return {name: compute(images) for name, images in batches.items()}

    def owns(self, path):
        """Whether what lies at `path` (a `Path`, it exists) is plainly an export of this format.

        Only then may it be overwritten. Here: whether it is a file; a format that writes folders says
        by what it knows them.
        """
        return path.is_file()

"""`eesmm evaluate`: how good a fine-tuned model is, or the frozen features of an encoder."""

import keras

from eesmm_keras.data.labels import CLASSES
from eesmm_keras.data.sliding import labelled_answers, sliding_of
from eesmm_keras.data.sources import open_source
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.findings import Findings
from eesmm_keras.evaluation.probes import PROBES, make_probe
from eesmm_keras.evaluation.segmentation.measures import NO_TILES
from eesmm_keras.finite import check_finite
from eesmm_keras.gallery import SIDE, as_picture, save_gallery
from eesmm_keras.progress import track
from eesmm_keras.tasks.task import Task
from eesmm_keras.training.inputs import reading_of
from eesmm_keras.training.probing import probe
from eesmm_keras.training.weights import encoder_of, load_checked

# The mode that asks the model itself, not a probe. (Most models are classifiers.)
OWN_SCORE = "accuracy"


def evaluate(data, weights, mode=OWN_SCORE, split="test", batch_size=64, say=None, tile=None,
             overlap=None, **where):  # fmt: skip
    """How good a run or file is on a data set.

    Args:
        data, **where (data_dir, max_image_pixels, follow_links): see `open_source`.
        weights: a run's folder, a `.keras` file or public weights, see `docs/weights.md`.
        mode: "accuracy", the score of a fine-tuned model by its own task; or a probe of the frozen
            features that is fitted on the train images, see `make_probe`.
        split: "test" or "val".
        say: takes the report of public weights; None: nobody reads it.
        tile: int or `(H, W)`: outputs are the means of those about tiles of so many pixels that cover
            an image; None: tiles as the model was trained on, whole images if it was on those.
        overlap: of tiles, see `Sliding`; None: none.

    Returns:
        `(Findings, source)`: what was found, and the `ImageSource` that was scored.

    Raises:
        UserError: the data or the file don't fit the mode, or the weights are not finite.
    """
    model = load_checked(weights, say)
    backbone = encoder_of(model, weights)
    reading = reading_of(backbone)
    if tile is not None:
        reading = reading.replaced(tile=tile)
    sliding = sliding_of(reading, overlap, batch_size)
    own = mode == OWN_SCORE and isinstance(model, Task)
    if own and model.whole_images and sliding is not None:
        raise UserError(NO_TILES)
    kind = model.label_kind if own else CLASSES
    where = {**where, "labelled": kind, "reading": reading}
    test = open_source(data, split, **where)
    if mode != OWN_SCORE:
        train = open_source(data, "train", **where)
        return Findings({make_probe(mode).title: probe(backbone, train, test, mode, sliding)}), test
    if not isinstance(model, Task):
        raise UserError(
            f"{weights} is no classifier or other fine-tuned model: it holds {type(model).__name__}. "
            "Fine-tune it first (eesmm finetune), or evaluate its features with --mode "
            f"{' or '.join(PROBES.names())}."
        )
    model.check_source(test)
    return model.findings(_outputs(model, test, batch_size, sliding)), test


def save_mistakes(findings, source, file, columns=8, rows=4):
    """Picture of the worst mistakes, as a PNG.

    Args:
        findings, source: of `evaluate`. file: path, or a file open for bytes.
    """
    shown = source.good_indices()
    groups = []
    for place, (k, *lines) in enumerate(findings.mistakes(columns * rows)):
        image = as_picture(source.load(int(shown[k]), SIDE))
        groups.append([(image, *lines), *findings.pictures_of(place, image)])
    columns = max(1, columns // max(map(len, groups))) if groups else columns
    rows = [groups[k : k + columns] for k in range(0, len(groups), columns)]
    save_gallery([[entry for group in row for entry in group] for row in rows], file)


def scores(model, source, batch_size=64):
    """{name: number} that a `Task` scores on a labelled source, the chief one first.

    Raises:
        UserError: outputs that are not finite.
    """
    return model.score(_outputs(model, source, batch_size))


def _outputs(model, source, batch_size, sliding=None):
    """`(outputs, labels)` of batch after batch, see `Task.score`."""
    local = model.local_model()

    def ask(images):
        outputs = local.predict_on_batch(images)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)

    size = model.backbone.image_shape[:2]
    found = labelled_answers(ask, source, size, batch_size, sliding, model.whole_images)
    for outputs, labels in track(found, len(source), "evaluating", count=lambda pair: len(pair[1])):
        yield keras.tree.map_structure(check_finite, outputs), labels

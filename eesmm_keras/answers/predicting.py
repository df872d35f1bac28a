"""`eesmm predict`: what a model says of any number of images, as a CSV; masks as PNG beside it."""

from functools import partial
from pathlib import Path

from eesmm_keras.answers.asking import Answer, Question, check_out
from eesmm_keras.answers.box_rows import BoxRows
from eesmm_keras.answers.mask_rows import MASKS, SHEET, MaskRows
from eesmm_keras.answers.models import open_model
from eesmm_keras.answers.work import ROWS, Work, beside
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.classification.probabilities import softmax, top_classes


def predict(weights, images, out, top=1, batch_size=64, overwrite=False, say=None, min_score=None,
            **how):  # fmt: skip
    """Write OUT: file, class, probability, and the same of the next classes; one row per image.

    Of a model that tells the class of every pixel: file, mask and shares of the classes, with OUT.masks
    and OUT.png, see `mask_rows`. Of a detector: file, class, score, and the box, one row for each, with
    OUT.png, see `box_rows`.

    It goes on where an earlier call was stopped, to the same bytes (see `answers.work`).

    Args:
        weights: a classifier, segmenter or detector, see `models.open_model`.
        images: a folder, a file or a data set, see `data.stream.open_files`.
        out: path of the CSV. top: classes of each image, the most probable first.
        batch_size: images (or tiles) in a batch.
        overwrite: whether a file that answers something else is replaced.
        say: takes the report of public weights.
        min_score: of a detector, the least probability of a box, 0 to 1; None: 0.3.
        how: tile, overlap, split, max_image_pixels, follow_links, data_dir; see `Question`. The scores
            (before softmax) of an image are the means of its tiles'.

    Returns:
        `Answer`.

    Raises:
        UserError: another ending, no classifier, fewer classes than `top`, no images, or `out` is
            something else.
    """
    check_out(out, "predictions.csv")
    if Path(out).suffix.lower() != ".csv":
        raise UserError(f"--out must end in .csv, got {out}. Predictions are a table of that kind.")
    question = Question("predict", weights, images, batch_size, **how)
    asked = {**question.facts, "top": top}
    if min_score is not None:
        asked["min_score"] = min_score
    files = {ROWS: out, MASKS: beside(out, MASKS), SHEET: beside(out, SHEET)}
    work = Work(out, asked, (), question.names, question.rows_at_once, files, overwrite)
    if work.is_finished():
        return Answer.before(work, question.source)
    model = open_model(weights, say)
    if model.class_names is None:
        raise UserError(
            f"{weights} is no classifier: it holds {model.kind}. Fine-tune it first (eesmm finetune), "
            "or ask for its features with eesmm embed."
        )
    kind = _kind(model, work, question.sliding, top, min_score)
    work.header, work.several = kind.header, kind.several
    with work:
        size = model.image_shape[:2]
        for batch, found in question.answers(work, kind.ask, size, "predicting", kind.whole_images):
            work.add(batch, kind.rows(batch, found))
        kind.finish(question.source)
        work.finish(class_names=list(model.class_names))
    return Answer.of(work, question.source, kind.paths)


def _kind(model, work, sliding, top, min_score):
    """What makes rows of the answers of a model."""
    kinds = {
        "segmentation": partial(MaskRows, model, top, work, sliding),
        "detection": partial(BoxRows, model, top, work, sliding, min_score),
    }
    if min_score is not None and model.task != "detection":
        raise UserError("--min-score is for detectors: leave it out.")
    return kinds.get(model.task, partial(ClassRows, model, top))()


class ClassRows:
    """Rows of a classifier.

    Args:
        model: see `models.open_model`. top: classes of each image.

    Attributes:
        header: names of the columns. several: whether an image may have several rows.
        whole_images: whether images are shown whole.
        ask: function of images `(B, H, W, C)`; what it gives goes to `rows`.
        paths: of what is made beside the rows.

    Raises:
        UserError: fewer classes than `top`.
    """

    several, whole_images, paths = False, False, ()

    def __init__(self, model, top):
        if top > len(model.class_names):
            raise UserError(
                f"--top must be at most {len(model.class_names)}, the classes; got {top}."
            )
        self.class_names, self.ask, self.top = model.class_names, model.logits, top
        more = [(f"class_{k}", f"probability_{k}") for k in range(2, top + 1)]
        pairs = [("class", "probability"), *more]
        self.header = ["file", *(name for pair in pairs for name in pair)]

    def rows(self, batch, logits):
        """Cells behind the name, of each good image of a `Batch`, by what `ask` gave for it."""
        if not len(logits):
            return []
        numbers, values = top_classes(softmax(logits), self.top)
        cells = [
            [(self.class_names[k], f"{p:.6g}") for k, p in zip(ks, ps, strict=True)]
            for ks, ps in zip(numbers.tolist(), values.tolist(), strict=True)
        ]
        return [[cell for pair in pairs for cell in pair] for pairs in cells]

    def finish(self, source):
        """What is left to do once all rows are there: nothing."""

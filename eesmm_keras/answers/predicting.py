"""`eesmm predict`: the most probable classes of any number of images, as a CSV."""

from eesmm_keras.answers.asking import Answer, Question, check_out
from eesmm_keras.answers.models import open_model
from eesmm_keras.answers.work import ROWS, Work
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.classification.probabilities import softmax, top_classes


def predict(weights, images, out, top=1, batch_size=64, overwrite=False, say=None, **how):
    """Write OUT: file, class, probability, and the same of the next classes; one row per image.

    It goes on where an earlier call was stopped, to the same bytes (see `answers.work`).

    Args:
        weights: a classifier, see `models.open_model`.
        images: a folder, a file or a data set, see `data.stream.open_files`.
        out: path of the CSV. top: classes of each image, the most probable first.
        batch_size: images (or tiles) in a batch.
        overwrite: whether a file that answers something else is replaced.
        say: takes the report of public weights.
        how: tile, overlap, max_image_pixels, follow_links, data_dir; see `Question`. The scores (before
            softmax) of an image are the means of its tiles'.

    Returns:
        `Answer`.

    Raises:
        UserError: no classifier, fewer classes than `top`, no images, or `out` is something else.
    """
    check_out(out, "predictions.csv")
    question = Question("predict", weights, images, batch_size, **how)
    asked = {**question.facts, "top": top}
    work = Work(
        out, asked, _header(top), question.names, question.rows_at_once, {ROWS: out}, overwrite
    )
    if work.is_finished():
        return Answer.before(work, question.source)
    model = open_model(weights, say)
    if model.class_names is None:
        raise UserError(
            f"{weights} is no classifier but a {model.kind}. Fine-tune it first (eesmm finetune), or "
            "ask for its features with eesmm embed."
        )
    if top > len(model.class_names):
        raise UserError(f"--top must be at most {len(model.class_names)}, the classes; got {top}.")
    with work:
        answers = question.answers(work, model.logits, model.image_shape[:2], "predicting")
        for batch, logits in answers:
            work.add(batch, _rows(model, logits, top))
        work.finish(class_names=list(model.class_names))
    return Answer.of(work, question.source)


def _header(top):
    more = [(f"class_{k}", f"probability_{k}") for k in range(2, top + 1)]
    return ["file", *(name for pair in [("class", "probability"), *more] for name in pair)]


def _rows(model, logits, top):
    """Cells behind the name, image by image."""
    if not len(logits):
        return []
    numbers, values = top_classes(softmax(logits), top)
    cells = [
        [(model.class_names[k], f"{p:.6g}") for k, p in zip(ks, ps, strict=True)]
        for ks, ps in zip(numbers.tolist(), values.tolist(), strict=True)
    ]
    return [[cell for pair in pairs for cell in pair] for pairs in cells]

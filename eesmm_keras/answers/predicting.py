"""`eesmm predict`: the most probable classes of any number of images, as a CSV."""

from eesmm_keras.answers.asking import Answer, batches_left, check_out, question
from eesmm_keras.answers.models import open_model, reading_for
from eesmm_keras.answers.work import ROWS, Work
from eesmm_keras.data.stream import open_files
from eesmm_keras.errors import UserError
from eesmm_keras.evaluation.classification.probabilities import softmax, top_classes
from eesmm_keras.finite import check_finite


def predict(weights, images, out, top=1, batch_size=64, overwrite=False, say=None, **where):
    """Write OUT: file, class, probability, and the same of the next classes; one row an image.

    It goes on where an earlier call was stopped, to the same bytes (see `answers.work`).

    Args:
        weights: a classifier, see `models.open_model`.
        images: a folder, a file or a data set, see `data.stream.open_files`.
        out: path of the CSV. top: classes of each image, the most probable first.
        batch_size: images in a batch.
        overwrite: whether a file that answers something else is replaced.
        say: takes the report of public weights.
        where: max_image_pixels, follow_links, data_dir.

    Returns:
        `Answer`.

    Raises:
        UserError: no classifier, fewer classes than `top`, no images, or `out` is something else.
    """
    check_out(out, "predictions.csv")
    source, names = open_files(images, **where, reading=reading_for(weights))
    asked = {**question("predict", weights, images, names, batch_size), "top": top}
    work = Work(out, asked, _header(top), names, batch_size, {ROWS: out}, overwrite)
    if work.is_finished():
        return Answer.before(work, source)
    model = open_model(weights, say)
    if model.class_names is None:
        raise UserError(
            f"{weights} is no classifier but a {model.kind}. Fine-tune it first (eesmm finetune), or "
            "ask for its features with eesmm embed."
        )
    if top > len(model.class_names):
        raise UserError(f"--top must be at most {len(model.class_names)}, the classes; got {top}.")
    with work:
        for batch in batches_left(work, source, model, "predicting"):
            work.add(batch, _rows(model, batch, top))
        work.finish(class_names=list(model.class_names))
    return Answer.of(work, source)


def _header(top):
    more = [(f"class_{k}", f"probability_{k}") for k in range(2, top + 1)]
    return ["file", *(name for pair in [("class", "probability"), *more] for name in pair)]


def _rows(model, batch, top):
    """Cells behind the name, image by image."""
    if not len(batch.good):
        return []
    probabilities = softmax(check_finite(model.logits(batch.images)[batch.good]))
    numbers, values = top_classes(probabilities, top)
    cells = [
        [(model.class_names[k], f"{p:.6g}") for k, p in zip(ks, ps, strict=True)]
        for ks, ps in zip(numbers.tolist(), values.tolist(), strict=True)
    ]
    return [[cell for pair in pairs for cell in pair] for pairs in cells]

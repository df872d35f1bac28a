"""The contract of an evaluation: what a task finds out about its outputs on labelled images."""

from eesmm_keras.errors import UserError


class Findings:
    """What is known of a model on some images: numbers, tables, figures, mistakes.

    A task says what it finds, see `tasks.task.Task.findings`; one that only has a score gives this
    class, one that knows more a subclass of it.

    Args:
        scores: `{name: number}`, the chief one first.
    """

    def __init__(self, scores):
        self.scores = dict(scores)

    def lines(self):
        """For the screen, beside the scores."""
        return []

    def numbers(self):
        """All numbers, as plain values for metrics.json."""
        return {"scores": self.scores}

    def tables(self):
        """`{file name: rows}`, for CSV files; the first row is the header."""
        return {}

    def figures(self):
        """`{file name: function}`; each function draws a PNG into an open file."""
        return {}

    def mistakes(self, count):
        """The worst ones: at most `count` of `(position, line, line)`, the position of the image in the
        order of evaluation and what to say of it in a picture."""
        return []

    def pictures_of(self, place, image):
        """What stands beside the image of a mistake: a list of `(picture, line)`.

        Args:
            place: of the mistake in the list of `mistakes`. image: its `PIL.Image.Image` or array.
        """
        return []

    def compare(self, other):
        """What differs from the findings of another model on the same images.

        Returns:
            `(lines for the screen, dict of plain values)`.

        Raises:
            UserError: findings of this kind are not compared.
        """
        raise UserError("Two models are compared image by image only where they are classifiers.")

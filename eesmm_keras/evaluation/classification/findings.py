"""What is known of a classifier on labelled images."""

from functools import cached_property

import numpy as np

from eesmm_keras.evaluation.classification import measures
from eesmm_keras.evaluation.classification.probabilities import softmax
from eesmm_keras.evaluation.findings import Findings

# Classes and confusions that the screen names.
_NAMED = 3


class ClassifierFindings(Findings):
    """See `Findings`.

    Args:
        class_names: tuple of str.
        labels, said: true and most probable class, int `(N,)`.
        confidence, truth: probability of the class that was said, and of the true one, `(N,)`.
    """

    def __init__(self, class_names, labels, said, confidence, truth):
        self.class_names, self.labels, self.said = class_names, labels, said
        self.confidence, self.truth, self.right = confidence, truth, labels == said
        super().__init__({"accuracy": float(self.right.mean())})

    @classmethod
    def of(cls, class_names, batches):
        """From `(logits, labels)` of batch after batch, which are not kept."""
        parts = []
        for logits, labels in batches:
            probabilities, rows = softmax(logits), np.arange(len(labels))
            said = np.asarray(logits).argmax(-1)
            parts.append((labels, said, probabilities[rows, said], probabilities[rows, labels]))
        return cls(class_names, *map(np.concatenate, zip(*parts, strict=True)))

    @property
    def interval(self):
        return measures.wilson_interval(self.right.sum(), len(self.right))

    @cached_property
    def classes(self):
        """Precision, recall, F1, images: four arrays."""
        return measures.per_class(self.labels, self.said, len(self.class_names))

    @cached_property
    def confusion(self):
        return measures.confusions(self.labels, self.said, len(self.class_names))

    @property
    def calibration_error(self):
        return measures.calibration_error(self.confidence, self.right)

    def lines(self):
        low, high = self.interval
        _, _, f1, images = self.classes
        there = np.flatnonzero(images)
        worst = there[np.argsort(f1[there], kind="stable")][:_NAMED]
        named = ", ".join(f"{self.class_names[k]} {f1[k]:.2f}" for k in worst)
        lines = [
            f"95 % interval of the accuracy (Wilson): {low:.4f} to {high:.4f}",
            f"Mean F1 {f1[there].mean():.4f}; lowest: {named}",
            f"Expected calibration error {self.calibration_error:.4f}",
        ]
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        often = np.argsort(-wrong, axis=None, kind="stable")[:_NAMED]
        pairs = [np.unravel_index(k, wrong.shape) for k in often if wrong.flat[k]]
        if pairs:
            told = (
                f"{self.class_names[t]} as {self.class_names[s]} ({wrong[t, s]})" for t, s in pairs
            )
            lines.append(f"Most often mistaken: {', '.join(told)}")
        return lines

    def numbers(self):
        precision, recall, f1, images = (array.tolist() for array in self.classes)
        return {
            **super().numbers(),
            "images": len(self.right),
            "accuracy_interval": {"level": 0.95, "method": "Wilson", "ends": list(self.interval)},
            "mean_f1": float(np.mean([f for f, n in zip(f1, images, strict=True) if n])),
            "calibration_error": {"value": self.calibration_error, "bins": measures.BINS},
            "classes": [
                {"name": name, "precision": p, "recall": r, "f1": f, "images": n}
                for name, p, r, f, n in zip(
                    self.class_names, precision, recall, f1, images, strict=True
                )
            ],
            "confusion": self.confusion.tolist(),
        }

    def tables(self):
        numbers = zip(*(array.tolist() for array in self.classes), strict=True)
        rows = [(name, *row) for name, row in zip(self.class_names, numbers, strict=True)]
        table = [
            (name, *row)
            for name, row in zip(self.class_names, self.confusion.tolist(), strict=True)
        ]
        return {
            "classes.csv": [("class", "precision", "recall", "f1", "images"), *rows],
            "confusion.csv": [("true \\ said", *self.class_names), *table],
        }

    def figures(self):
        from eesmm_keras.evaluation.classification import figures

        return {
            "confusion.png": lambda file: figures.confusion(file, self.confusion, self.class_names),
            "calibration.png": lambda file: figures.calibration(
                file, *measures.reliability(self.confidence, self.right)
            ),
        }

    def mistakes(self, count):
        """Wrong ones, the surest first."""
        wrong = np.flatnonzero(~self.right)
        worst = wrong[np.argsort(-self.confidence[wrong], kind="stable")][:count]
        return [
            (
                int(i),
                f"said {self.class_names[self.said[i]]} {self.confidence[i]:.2f}",
                f"is {self.class_names[self.labels[i]]} {self.truth[i]:.2f}",
            )
            for i in worst
        ]

    def compare(self, other):
        """McNemar's exact test."""
        if not isinstance(other, ClassifierFindings) or len(other.right) != len(self.right):
            return super().compare(other)
        first, second, p = measures.mcnemar(self.right, other.right)
        difference = other.scores["accuracy"] - self.scores["accuracy"]
        numbers = {
            "test": "McNemar, exact, two-sided", "only_first_right": first,
            "only_second_right": second, "both_right": int((self.right & other.right).sum()),
            "both_wrong": int((~self.right & ~other.right).sum()), "difference": difference, "p": p,
        }  # fmt: skip
        verdict = "differ" if p < 0.05 else "may be equally good"
        lines = [
            f"Right only in the first: {first}; only in the second: {second}; "
            f"difference {difference:+.4f}",
            f"McNemar's exact test: p = {p:.3g}; at 5 %, they {verdict}.",
        ]
        return lines, numbers

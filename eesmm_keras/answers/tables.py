"""Neighbours and duplicates as tables: on the screen, as CSV, and as a picture."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from eesmm_keras.answers.duplicates import near_duplicates
from eesmm_keras.answers.neighbours import Neighbours, query_vectors
from eesmm_keras.answers.work import TEXT
from eesmm_keras.data.errors import DataError
from eesmm_keras.data.image_source import ImageSource
from eesmm_keras.data.paths import printable
from eesmm_keras.gallery import SIDE, save_gallery
from eesmm_keras.names import counted
from eesmm_keras.whole_files import write_atomically


@dataclass
class Group:
    """Rows that belong together: `rows`, lists of cells; `pictures()`, `(path or None, *lines)`."""

    rows: list
    pictures: Callable


@dataclass
class Table:
    """Groups of rows under one header; `groups`, an iterator, is gone through once.

    Attributes: `first`, the groups that the screen and the picture show; filled by `read`.
    `summary`: last line on the screen, "" for none.
    """

    header: tuple
    groups: object
    first: list = field(default_factory=list)
    complete: bool = True
    framed: bool = False
    summary: str = ""

    def read(self, count, out=None):
        """Take the first `count` groups, and write all of them to a CSV if `out` is given."""
        self.groups = iter(self.groups)
        self.first = list(islice(self.groups, count))
        if out is not None:
            write_atomically(Path(out), self._write)
        else:
            self.complete = next(self.groups, None) is None

    def _write(self, file):
        def put(cells):
            file.write(_line(cells).encode(TEXT["encoding"], TEXT["errors"]))

        put(self.header)
        for groups in (self.first, self.groups):
            for group in groups:
                for cells in group.rows:
                    put(cells)

    def lines(self, count):
        """At most `count` rows for the screen, in columns."""
        rows = [
            [printable(str(cell)) for cell in row] for group in self.first for row in group.rows
        ]
        if not rows:
            return ["Nothing found."]
        shown = [list(self.header), *rows[:count]]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in shown]
        more = ["..."] if len(rows) > count or not self.complete else []
        return [
            *(line.rstrip() for line in lines),
            *more,
            *([self.summary] if self.summary else []),
        ]

    def draw(self, path, count, max_pixels=None):
        """Picture of the first `count` groups."""
        rows = [
            [(_image(image, max_pixels), *lines) for image, *lines in group.pictures()]
            for group in self.first[:count]
        ]
        write_atomically(Path(path), lambda file: save_gallery(rows, file, framed=self.framed))


class _Row:
    """A file for csv.writer that hands back what it was given."""

    def write(self, text):
        return text


def _line(cells):
    return csv.writer(_Row(), lineterminator="\n").writerow(cells)


def _image(path, max_pixels):
    try:
        source = ImageSource(path, [path], max_pixels=max_pixels)
        return None if path is None else source.load(0, SIDE)
    except DataError:
        return None


def neighbours(embeddings, query=None, top=5, weights=None, say=None, **where):
    """`Table` of the nearest images: query, rank, file, cosine.

    Args:
        embeddings: `Embeddings`. query, weights, say, where: see `neighbours.query_vectors`; without a
            query, every image is compared with the others.
        top: neighbours of each.
    """
    search = Neighbours(embeddings)
    if query is None:
        names = embeddings.names
        path_of = embeddings.image_path
        found = search.of_all(top)
    else:
        names, vectors, paths = query_vectors(query, embeddings, weights, say, **where)
        path_of = paths.__getitem__
        found = search.of(vectors, top)

    def groups():
        for i, (numbers, cosines) in enumerate(found):
            near = list(zip(numbers.tolist(), cosines.tolist(), strict=True))
            rows = [
                (names[i], rank, embeddings.names[n], f"{cosine:.5f}")
                for rank, (n, cosine) in enumerate(near, start=1)
            ]
            yield Group(rows, lambda i=i, near=near: [
                (path_of(i), "query", names[i]),
                *((embeddings.image_path(n), f"{c:.5f}", embeddings.names[n]) for n, c in near),
            ])  # fmt: skip

    return Table(("query", "rank", "file", "cosine"), groups(), framed=True)


def duplicates(embeddings, threshold, most=12):
    """`Table` of near-duplicates: group, file, cosine with the nearest one of the group.

    Args:
        threshold: see `near_duplicates`. most: images of a group that a picture shows.
    """
    found, best = near_duplicates(embeddings.vectors, threshold)

    def groups():
        for number, members in enumerate(found, start=1):
            rows = [(number, embeddings.names[i], f"{best[i]:.5f}") for i in members]
            yield Group(rows, lambda some=members[:most]: [
                (embeddings.image_path(i), f"{best[i]:.5f}", embeddings.names[i]) for i in some
            ])  # fmt: skip

    alike, total = sum(map(len, found)), len(embeddings.names)
    said = (
        f"{alike} of {counted(total, 'image')} in {counted(len(found), 'group')}, of a cosine of "
        f"{threshold:g} or more."
    )
    if alike > total / 2:
        said += " So many are alike at this threshold that a higher one may be what you want."
    return Table(("group", "file", "cosine"), groups(), summary=said)

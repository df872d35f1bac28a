"""Published tables and figures: what was printed, and which runs of this package stand for it."""

from dataclasses import dataclass, field
from importlib import resources

from eesmm_keras.errors import UserError
from eesmm_keras.names import parse_yaml, unknown_name, yaml_names


@dataclass(frozen=True)
class Row:
    """One row of a published table.

    Attributes:
        name: as published. published: tuple, its cells, None where nothing was printed.
        method: of `eesmm compare`, with its arguments; None where the proxy has none for it.
        recipe, finetune: recipes of the published setup; None where there are none.
    """

    name: str
    published: tuple
    method: str | None = None
    recipe: str | None = None
    finetune: str | None = None


@dataclass(frozen=True)
class Table:
    """A published table or figure; the defaults are those of the proxy.

    Attributes:
        title, setup: where it is from, and on what it was measured there.
        columns: tuple of str, what the rows' published cells are.
        rows: tuple of `Row`.
        budget, backbone, labels, batch_size, settings: of `eesmm compare`.
        arguments: of every method, for a decoder that fits the small encoder.
    """

    title: str
    setup: str
    columns: tuple
    rows: tuple
    budget: str
    backbone: str = "swin_proxy_64"
    labels: str = ""
    batch_size: int = 128
    settings: dict = field(default_factory=lambda: {"beta_2": 0.95, "learning_rate": 8e-3})
    arguments: dict = field(default_factory=lambda: {"decoder_dim": 64, "decoder_num_heads": 4})

    def methods(self):
        """`{method of compare: Row}`, in the order of the rows."""
        return {self._named(row.method): row for row in self.rows if row.method}

    def _named(self, method):
        from eesmm_keras.training.settings import method_arguments

        known = method_arguments(method.partition(":")[0])
        more = [f"{key}={value}" for key, value in self.arguments.items() if key in known]
        return ":".join([method, *more])


def table_names():
    """Names of the tables that come with the package."""
    return yaml_names(_folder())


def _folder():
    return resources.files("eesmm_keras.reproductions").joinpath("published")


def read_table(name):
    """`Table` by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in table_names():
        raise UserError(unknown_name("table", name, table_names()))
    content = parse_yaml(_folder().joinpath(f"{name}.yaml").read_text("utf-8"), f"Table {name}")
    rows = tuple(
        Row(**{**row, "published": tuple(row["published"])}) for row in content.pop("rows")
    )
    return Table(rows=rows, columns=tuple(content.pop("columns")), **content)

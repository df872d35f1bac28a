from pathlib import Path

import click

from eesmm_keras.cli._options import source_options, where_from
from eesmm_keras.cli._types import PATH

# Rows of the table on the screen, and of the picture.
_SHOWN, _PICTURED = 20, 12


@click.command("neighbours")
@click.argument("embeddings", type=PATH, metavar="E")
@click.option(
    "--query", type=PATH, metavar="FILE|DIR|NAME",
    help="Images, or the name of one in E. Default: every image of E.",
)  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, metavar="K")
@click.option(
    "--duplicates", type=click.FloatRange(-1, 1), metavar="THRESHOLD",
    help="Instead: groups of images of E whose cosine is at least this, such as 0.98.",
)  # fmt: skip
@click.option("--out", type=PATH, metavar="FILE.csv", help="Write the whole table there.")
@click.option("--picture", type=PATH, metavar="FILE.png", help="Draw the first rows.")
@click.option(
    "--weights", type=PATH, metavar="RUN|FILE", help="For --query. Default: the encoder of E."
)
@source_options
def command(embeddings, query, top, duplicates, out, picture, weights, **options):
    """Images that are most alike, by the cosine of their vectors in E, a file of eesmm embed.

    \b
    eesmm neighbours photos.npy --query one.jpg --picture grid.png
    eesmm neighbours photos.npy --top 10 --out neighbours.csv
    eesmm neighbours photos.npy --duplicates 0.98
    """
    from eesmm_keras.errors import UserError

    if duplicates is not None and query is not None:
        raise UserError("--duplicates looks at all images of E: leave --query away.")
    for option, path, suffix in (("--out", out, ".csv"), ("--picture", picture, ".png")):
        if path is not None and Path(path).suffix.lower() != suffix:
            raise UserError(f"{option} must end in {suffix}, got {path}.")
    if query is not None:
        from eesmm_keras.quiet import load_backend

        load_backend()
    from eesmm_keras.answers import tables
    from eesmm_keras.answers.embeddings import read_embeddings

    found = read_embeddings(embeddings)
    where = where_from(options)
    if duplicates is not None:
        table = tables.duplicates(found, duplicates)
    else:
        table = tables.neighbours(found, query, top, weights, say=click.echo, **where)
    table.read(_SHOWN, out)
    for line in table.lines(_SHOWN):
        click.echo(line)
    if picture is not None and table.first:
        table.draw(picture, _PICTURED, where.get("max_image_pixels"))
    for path in (out, picture):
        if path is not None:
            click.echo(path)

"""Pieces of an HTML page; every text that is put in is escaped here."""

import base64
import html
from pathlib import Path
from string import Template


def page(title, body):
    """The whole page. `body`: HTML."""
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(title=text(title), body=body)


def text(value):
    """Any value as text of a page; bytes of a file name that are no UTF-8 as \\xNN."""
    plain = str(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return html.escape(plain)


def section(title, *parts):
    """Heading and parts, pieces of HTML; "" where no part holds anything."""
    parts = [part for part in parts if part]
    return "\n".join([f"<h2>{text(title)}</h2>", *parts]) if parts else ""


def paragraph(value, kind=""):
    return f'<p class="{kind}">{text(value)}</p>' if value else ""


def command(line):
    return f"<pre>{text(line)}</pre>"


def tiles(facts):
    """`{what: value}` as tiles; empty values are left out."""
    cells = [
        f"<div><span>{text(k)}</span><b>{text(v)}</b></div>" for k, v in facts.items() if v != ""
    ]
    return f'<div class="facts">{"".join(cells)}</div>' if cells else ""


def table(header, rows, most=200):
    """Rows of texts and numbers; numbers stand on the right. Rows beyond `most` are counted."""
    if not rows:
        return ""
    numeric = [all(isinstance(row[k], int | float) for row in rows) for k in range(len(header))]

    def line(tag, cells):
        kinds = (' class="number"' if number else "" for number in numeric)
        made = (
            f"<{tag}{kind}>{text(_short(c))}</{tag}>" for kind, c in zip(kinds, cells, strict=True)
        )
        return f"<tr>{''.join(made)}</tr>"

    lines = [line("th", header), *(line("td", row) for row in rows[:most])]
    more = paragraph(f"and {len(rows) - most} more", "quiet") if len(rows) > most else ""
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>{more}'


def folded(title, inside):
    """Something that is shown on a click."""
    return f"<details><summary>{text(title)}</summary>{inside}</details>" if inside else ""


def grid(figures):
    figures = [figure for figure in figures if figure]
    return f'<div class="grid">{"".join(figures)}</div>' if figures else ""


def drawing(svg, caption):
    """An SVG as a figure. `svg`: of `curves`."""
    return f"<figure>{svg}<figcaption>{text(caption)}</figcaption></figure>"


def picture(path, caption, wide=False):
    """A PNG file as a figure, inside the page; "" if it is not there."""
    path = Path(path)
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    kind = ' class="wide"' if wide else ""
    return (
        f'<figure{kind}><img class="paper" alt="{text(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value

"""Curves over epochs as SVG that takes its colours from the page, light or dark."""

import io
import math
import re

from matplotlib import rc_context
from matplotlib.figure import Figure

# Colours that matplotlib writes, and what the page calls them.
_COLOURS = {"#010101": "var(--ink)", "#020202": "var(--quiet)", "#030303": "var(--line)",
            "#040404": "var(--mark)", "#050505": "var(--second)"}  # fmt: skip
_LINES = ("#040404", "#050505", "#020202")


def curve(series, title):
    """One drawing of a few series over the same epochs.

    Args:
        series: `{name: [(epoch, value), ...]}`, at most three; values that are not finite are left out.
        title: of the drawing.

    Returns:
        str, an `<svg>` element; "" without two finite values.
    """
    series = {
        name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in series.items()
    }
    series = {name: points for name, points in series.items() if points}
    if not series:
        return ""
    # A fixed salt: the same run gives the same page.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.size": 11}):
        figure = Figure((4.6, 2.7), layout="constrained")
        axes = figure.add_subplot()
        for (name, points), colour in zip(series.items(), _LINES, strict=False):
            marker = "o" if len(points) < 30 else None
            axes.plot(
                *zip(*points, strict=True), color=colour, label=name, marker=marker, markersize=3
            )
        values = [y for points in series.values() for _, y in points]
        if 0 < max(values) - min(values) < 1e-4 * abs(max(values)):  # rounding, not a change
            axes.set_ylim(*sorted((0.95 * min(values), 1.05 * max(values))))
        _dress(axes, title, legend=len(series) > 1)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _for_the_page(text.getvalue(), title)


def _dress(axes, title, legend):
    axes.set_title(title, color="#010101", loc="left", fontsize=12, parse_math=False)
    axes.set_xlabel("epoch", color="#020202")
    axes.tick_params(colors="#020202")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color="#030303", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#020202")
    if legend:
        axes.legend(frameon=False, labelcolor="#010101", fontsize=10)


def _for_the_page(svg, title):
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    # The page gives the width.
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    # Ids count in the whole page.
    prefix = re.sub(r"\W", "_", title)
    svg = re.sub(r'id="([^"]+)"', rf'id="{prefix}_\1"', svg)
    svg = re.sub(r'(xlink:href="|href="|url\()#', rf"\1#{prefix}_", svg)
    svg = svg.replace("sans-serif", "system-ui, sans-serif")
    for colour, name in _COLOURS.items():
        svg = svg.replace(colour, name)
    return svg

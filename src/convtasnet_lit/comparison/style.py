"""How figures look, and how they become files and parts of a page."""

import io
import re
from typing import Any

import matplotlib
from matplotlib.figure import Figure

INK, GRID, PAPER = "#23262b", "#d5d8dc", "#fefefe"  # the page's style sheet gives each a dark twin
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8,
    "text.parse_math": False,  # an arm may be called $x
    "axes.titlesize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "convtasnet_lit",
    "pdf.fonttype": 42,
}


def saved(figure: Figure, kind: str) -> bytes:
    """Return a figure as a file; the same figure gives the same bytes.

    Args:
        figure: A figure of `draw`.
        kind: `svg` or `pdf`.
    """
    buffer = io.BytesIO()
    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind, metadata=dated[kind], transparent=True)
    return buffer.getvalue()


def inlined(svg: bytes, name: str) -> str:
    """Make a figure part of a page: its ink follows the page's, its ids are its own, and it shrinks with the page.

    Args:
        svg: A figure as `saved` returns it.
        name: The figure's.
    """
    text = svg.decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>',
        r'<svg viewBox="\1" xmlns:xlink="http://www.w3.org/1999/xlink">',
        text,
        count=1,
    )
    for colour, variable in ((INK, "ink"), (GRID, "grid"), (PAPER, "paper")):
        text = text.replace(colour, f"var(--{variable})")
    return text

"""How a figure leaves a notebook: a line drawing as SVG, a picture as PNG, and with it its panels.

A phone's screen is too narrow for panels side by side. Where they lie is kept in the output's
metadata, from which the book's pages put them below each other. `execute.py` has every kernel run
this file first.
"""

from typing import TypedDict

from IPython import get_ipython
from IPython.core.pylabtools import print_figure
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

MOST_POINTS = 3000  # a drawing with more is smaller, and sooner drawn, as a picture
NARROW = 0.15  # of the figure's width: what is narrower, a colour bar, stays with its neighbour

Span = tuple[float, float]


class Panels(TypedDict):
    """A figure's width in inches, and its panels in reading order: left, top, right and bottom of
    each, from 0, the figure's left or upper edge, to 1."""

    inches: float
    boxes: list[tuple[float, float, float, float]]


def show_in_notebook() -> None:
    """Let every figure leave this kernel as above."""
    shell = get_ipython()
    shell.run_line_magic("matplotlib", "inline")  # or the first figure would undo what follows
    rcParams["svg.hashsalt"] = "ood_lib"  # the same figure, the same file
    for kind, form, metadata in (
        ("image/png", "png", None),
        ("image/svg+xml", "svg", {"Date": None}),
    ):

        def show(
            figure: Figure, form: str = form, metadata: dict | None = metadata
        ) -> tuple[bytes | str, Panels] | None:
            if form_of(figure) != form:
                return None
            return print_figure(figure, form, metadata=metadata), panels_of(figure)

        shell.display_formatter.formatters[kind].for_type(Figure, show)


def form_of(figure: Figure) -> str:
    """'svg' for a figure of lines and letters, 'png' for one with pictures or very many points."""
    drawn = [artist for axis in figure.axes for artist in axis.get_children()]
    pictures = any(axis.images for axis in figure.axes) or any(
        isinstance(artist, QuadMesh) for artist in drawn
    )
    points = sum(len(a.get_offsets()) for a in drawn if isinstance(a, PathCollection))
    points += sum(len(line.get_xdata()) for axis in figure.axes for line in axis.lines)
    return "png" if pictures or points > MOST_POINTS else "svg"


def panels_of(figure: Figure) -> Panels:
    """The figure's width as it is shown, and its panels: what stands above all axes, columns of
    axes from left to right, what stands below.

    Nothing is cut through: panels that share an axis which only one of them names, or that a text
    or a legend joins, stay together.
    """
    figure.draw_without_rendering()
    page = figure.get_tightbbox().padded(rcParams["savefig.pad_inches"])  # inches
    axes = [axis for axis in figure.axes if axis.get_visible()]
    drawn = Bbox.union([_box(axis, figure) for axis in axes])
    others = [_box(other, figure) for other in (*figure.legends, *figure.texts)]
    above = [box for box in others if box.y0 >= drawn.y1]
    below = [box for box in others if box.y1 <= drawn.y0]
    beside = [(box.x0, box.x1) for box in others if box not in above + below]
    top, bottom = (drawn.y1 if above else page.y1), (drawn.y0 if below else page.y0)
    columns = [
        Bbox.from_extents(left, bottom, right, top)
        for left, right in _columns([_span(axis, figure) for axis in axes] + beside, page)
    ]
    strips = [box.padded(0.05) for box in above], [box.padded(0.05) for box in below]
    boxes = [_on_page(box, page) for box in (*strips[0], *columns, *strips[1])]
    return {"inches": round(page.width, 2), "boxes": boxes}


def _box(artist: Axes, figure: Figure) -> Bbox:
    """Where something is drawn, in inches."""
    box = artist.get_tightbbox()
    return Bbox(box.get_points() / figure.dpi)


def _span(axis: Axes, figure: Figure) -> Span:
    """From where to where a panel and those whose axis it reads reach, in inches."""
    boxes = [_box(axis, figure)]
    named = any(label.get_visible() and label.get_text() for label in axis.get_yticklabels())
    if axis.axison and not named:
        siblings = axis.get_shared_y_axes().get_siblings(axis)
        boxes += [_box(each, figure) for each in siblings]
    return min(box.x0 for box in boxes), max(box.x1 for box in boxes)


def _columns(spans: list[Span], page: Bbox) -> list[Span]:
    """The page cut from left to right between ``spans``, with no column too narrow to stand
    alone."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin < joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        elif joined and min(end - begin, joined[-1][1] - joined[-1][0]) < NARROW * page.width:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((begin, end))
    between = [(a[1] + b[0]) / 2 for a, b in zip(joined, joined[1:], strict=False)]
    return list(zip([page.x0, *between], [*between, page.x1], strict=True))


def _on_page(box: Bbox, page: Bbox) -> tuple[float, float, float, float]:
    left, right = ((x - page.x0) / page.width for x in (box.x0, box.x1))
    top, bottom = ((page.y1 - y) / page.height for y in (box.y1, box.y0))
    clipped = [round(min(max(edge, 0.0), 1.0), 4) for edge in (left, top, right, bottom)]
    return clipped[0], clipped[1], clipped[2], clipped[3]


if __name__ == "__main__":
    show_in_notebook()

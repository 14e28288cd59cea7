"""Small pictures as SVG that take their colours from the page around them: light, dark or print.

The classes `now`, `then`, `axis` and `label` are coloured in pages/page.html: now is what a page is
about, then is what it is compared with.
"""

import math
from collections.abc import Sequence
from xml.etree import ElementTree

from markupsafe import Markup

WIDTH, HISTOGRAM_HEIGHT, LABEL_HEIGHT = 420, 120, 16
SQUARE, HEADING = 240, 20
WIDE = 1000
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 8, 22
BAR_HEIGHT = 22
CHARACTER_WIDTH, FIGURES_WIDTH = 7, 150
LONGEST_LABEL, LONGEST_WIDE_LABEL = 20, 60
TICKS = 5

Points = Sequence[Sequence[float]]


def histogram(
    now: Sequence[int],
    then: Sequence[int],
    start: float,
    width: float,
    title: str,
    across: str = "",
    upwards: str = "",
) -> Markup:
    """Draw one distribution as filled bars, and another as a line over them.

    Parameters
    ----------
    now, then
        How many values each bar holds, [k]; both are drawn as shares of their sums.
    start, width
        The start of the first bar, and the width of each.
    title
        The description for a reader who cannot see the picture.
    across, upwards
        The labels of the axes; empty for none.
    """
    shares, reference = _shares(now), _shares(then)
    top = _ceiling(max(*shares, *reference))
    ceiling = HEADING + 6 if upwards else TOP
    floor = ceiling + HISTOGRAM_HEIGHT
    svg = _svg(WIDTH, floor + BOTTOM + (LABEL_HEIGHT if across else 0), title)
    step = (WIDTH - LEFT - RIGHT) / len(shares)
    unit = HISTOGRAM_HEIGHT / top
    if upwards:
        _text(svg, upwards, 0, HEADING - 9, "start")
    if across:
        middle = (LEFT + WIDTH - RIGHT) / 2
        _text(svg, across, middle, floor + BOTTOM + LABEL_HEIGHT - 4, "middle")
    for share in (0.0, top / 2, top):
        y = floor - share * unit
        _add(svg, "line", "axis", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y)
        _text(svg, f"{100 * share:.3g}%", LEFT - 4, y + 3, "end")
    for place, share in enumerate(shares):
        height = share * unit
        _add(
            svg,
            "rect",
            "now",
            x=LEFT + place * step + 0.5,
            y=floor - height,
            width=step - 1,
            height=height,
        )
    outline = [f"M{LEFT},{floor}"]
    for place, share in enumerate(reference):
        outline.append(f"V{floor - share * unit:.1f}H{LEFT + (place + 1) * step:.1f}")
    _add(svg, "path", "then", d="".join([*outline, f"V{floor}"]))
    end = start + width * len(shares)
    for value in _ticks(start, end):
        x = LEFT + (value - start) / (end - start) * (WIDTH - LEFT - RIGHT)
        _add(svg, "line", "axis", x1=x, x2=x, y1=floor, y2=floor + 3)
        _text(svg, f"{value:.6g}", x, floor + BOTTOM - 6, "middle")
    return _markup(svg)


def categories(now: Sequence[int], then: Sequence[int], names: Sequence[str], title: str) -> Markup:
    """Draw the share of each category as a bar, and the reference's as a mark on it.

    Parameters
    ----------
    now, then
        The number of rows with each category, [k].
    names
        The categories, [k].
    """
    shares, reference = _shares(now), _shares(then)
    top = max(*shares, *reference) or 1.0
    svg = _svg(WIDTH, HEADING + BAR_HEIGHT * len(names) + 4, title)
    labels = [_short(name) for name in names]
    start = 10 + CHARACTER_WIDTH * max(map(len, labels), default=0)
    unit = (WIDTH - start - FIGURES_WIDTH) / top
    _text(svg, "share of rows", start, HEADING - 9, "start")
    for place, (label, share, before) in enumerate(zip(labels, shares, reference, strict=True)):
        y = HEADING + place * BAR_HEIGHT
        _text(svg, label, start - 6, y + 12, "end")
        _add(svg, "rect", "now", x=start, y=y + 1, width=share * unit, height=15)
        x = start + before * unit
        _add(svg, "line", "then", x1=x, x2=x, y1=y - 2, y2=y + 19)
        right = start + max(share, before) * unit + 5
        _text(svg, f"{share:.1%}, reference {before:.1%}", right, y + 12, "start")
    return _markup(svg)


def curves(
    now: Points, then: Points, title: str, across: str, upwards: str, diagonal: bool = False
) -> Markup:
    """Draw one or two curves in a square from 0 to 1.

    Parameters
    ----------
    now, then
        Their points as pairs; the second may have none.
    across, upwards
        The labels of the axes.
    diagonal
        Whether to draw the line on which both axes are equal.
    """
    svg = _svg(SQUARE + LEFT + RIGHT, SQUARE + HEADING + 36, title)
    size = SQUARE

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x * size, HEADING + (1 - y) * size

    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = place(share, share)
        _add(svg, "line", "axis", x1=LEFT, x2=LEFT + size, y1=y, y2=y)
        _add(svg, "line", "axis", x1=x, x2=x, y1=HEADING, y2=HEADING + size)
        _text(svg, f"{share:g}", LEFT - 4, y + 3, "end")
        _text(svg, f"{share:g}", x, HEADING + size + 14, "middle")
    _text(svg, across, LEFT + size / 2, HEADING + size + 30, "middle")
    _text(svg, upwards, LEFT, HEADING - 7, "start")
    if diagonal:
        (x1, y1), (x2, y2) = place(0, 0), place(1, 1)
        _add(svg, "line", "axis strong", x1=x1, x2=x2, y1=y1, y2=y2)
    for points, kind in ((then, "then"), (now, "now line")):
        if points:
            steps = (place(*point) for point in points)
            _add(svg, "path", kind, d="M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in steps))
    return _markup(svg)


def intervals(
    rows: Sequence[tuple[str, float, float, float, float | None]],
    title: str,
    across: str,
    mark: float,
) -> Markup:
    """Draw figures as points with their intervals, one below the other.

    Parameters
    ----------
    rows
        Name, value, low and high end, and the figure that it is compared with, or None.
    across
        The label of the axis.
    mark
        Where to draw a line through all rows: the figure of all together, or none at all.
    """
    figures = [figure for _, *numbers in rows for figure in numbers if figure is not None]
    low, high = min([mark, *figures]), max([mark, *figures])
    if low == high:
        low, high = low - 0.5, high + 0.5
    svg = _svg(WIDE, BAR_HEIGHT * len(rows) + BOTTOM + LABEL_HEIGHT + 4, title)
    labels = [_short(name, LONGEST_WIDE_LABEL) for name, *_ in rows]
    left = 10 + CHARACTER_WIDTH * max(map(len, labels), default=0)
    # The first and the last tick have room for half of their label.
    size = WIDE - left - 4 * RIGHT

    def place_of(figure: float) -> float:
        return left + 2 * RIGHT + (figure - low) / (high - low) * size

    floor = BAR_HEIGHT * len(rows) + 4
    for figure in _ticks(low, high):
        x = place_of(figure)
        _add(svg, "line", "axis", x1=x, x2=x, y1=0, y2=floor)
        _text(svg, f"{figure:.6g}", x, floor + 14, "middle")
    _text(svg, across, left + 2 * RIGHT + size / 2, floor + 30, "middle")
    _add(svg, "line", "axis strong", x1=place_of(mark), x2=place_of(mark), y1=0, y2=floor)
    for place, (label, (_, value, start, end, compared)) in enumerate(
        zip(labels, rows, strict=True)
    ):
        y = 4 + place * BAR_HEIGHT + BAR_HEIGHT / 2 - 3
        _text(svg, label, left - 6, y + 4, "end")
        _add(svg, "line", "now line", x1=place_of(start), x2=place_of(end), y1=y, y2=y)
        _add(svg, "circle", "now", cx=place_of(value), cy=y, r=4.0)
        if compared is not None:
            x = place_of(compared)
            _add(svg, "line", "then", x1=x, x2=x, y1=y - 8, y2=y + 8)
    return _markup(svg)


def sparkline(counts: Sequence[int]) -> str:
    """Draw counts as a row of blocks, for pages of plain text: ▂▅█▃."""
    top = max(counts, default=0)
    blocks = " ▁▂▃▄▅▆▇█"
    return "".join(blocks[math.ceil(8 * count / top) if top else 0] for count in counts)


def _short(name: str, longest: int = LONGEST_LABEL) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def _ceiling(share: float) -> float:
    """Return the next round number that is not below a share."""
    if share <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(share))
    return next(
        step * unit for step in (1, 2, 3, 4, 5, 6, 8, 10) if share <= step * unit * 1.000001
    )


def _ticks(start: float, end: float) -> list[float]:
    """Return a few round numbers in a range."""
    unit = 10.0 ** math.floor(math.log10((end - start) / TICKS))
    step = next(unit * by for by in (1, 2, 5, 10, 20) if (end - start) / (unit * by) <= TICKS)
    first = math.ceil(start / step - 1e-9)
    return [number * step for number in range(first, math.floor(end / step + 1e-9) + 1)]


def _svg(width: float, height: float, title: str) -> ElementTree.Element:
    box = {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "width": f"{width:g}"}
    svg = ElementTree.Element("svg", box)
    ElementTree.SubElement(svg, "title").text = title
    return svg


def _add(svg: ElementTree.Element, tag: str, kind: str, **places: float | str) -> None:
    attributes = {
        name: value if isinstance(value, str) else f"{value:.1f}" for name, value in places.items()
    }
    ElementTree.SubElement(svg, tag, {"class": kind, **attributes})


def _text(svg: ElementTree.Element, text: str, x: float, y: float, anchor: str) -> None:
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "class": "label"}
    ElementTree.SubElement(svg, "text", place).text = text


def _markup(svg: ElementTree.Element) -> Markup:
    return Markup(ElementTree.tostring(svg, encoding="unicode"))

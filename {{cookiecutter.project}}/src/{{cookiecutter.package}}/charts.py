"""Small pictures as SVG that take their colours from the page around them: light, dark or print.

The classes `now`, `then`, `axis` and `label` are coloured in pages/page.html.
"""

import math
from collections.abc import Sequence
from xml.etree import ElementTree

from markupsafe import Markup

WIDTH, HEIGHT = 420, 150
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 8, 22
BAR_HEIGHT = 22
LABEL_WIDTH, FIGURES_WIDTH = 130, 112
LONGEST_LABEL = 20
TICKS = 5


def histogram(
    now: Sequence[int], then: Sequence[int], start: float, width: float, title: str
) -> Markup:
    """Draw a table's bars, filled, and the reference's as a line over them.

    Parameters
    ----------
    now, then
        How many values each bar holds, [k]; both are drawn as shares of their sums.
    start, width
        Where the first bar begins, and how wide each is.
    title
        What a reader who cannot see the picture is told.
    """
    shares, reference = _shares(now), _shares(then)
    top = _ceiling(max(*shares, *reference))
    svg = _svg(WIDTH, HEIGHT, title)
    step = (WIDTH - LEFT - RIGHT) / len(shares)
    floor = HEIGHT - BOTTOM
    unit = (floor - TOP) / top
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
        _text(svg, f"{value:.6g}", x, HEIGHT - 6, "middle")
    return _markup(svg)


def categories(now: Sequence[int], then: Sequence[int], names: Sequence[str], title: str) -> Markup:
    """Draw a table's share of each category as a bar, and the reference's as a mark on it.

    Parameters
    ----------
    now, then
        How many rows have each category, [k].
    names
        The categories, [k].
    """
    shares, reference = _shares(now), _shares(then)
    top = max(*shares, *reference) or 1.0
    svg = _svg(WIDTH, BAR_HEIGHT * len(names) + 4, title)
    unit = (WIDTH - LABEL_WIDTH - FIGURES_WIDTH) / top
    for place, (name, share, before) in enumerate(zip(names, shares, reference, strict=True)):
        y = 4 + place * BAR_HEIGHT
        short = name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…"
        _text(svg, short, LABEL_WIDTH - 6, y + 12, "end")
        _add(svg, "rect", "now", x=LABEL_WIDTH, y=y + 1, width=share * unit, height=15)
        x = LABEL_WIDTH + before * unit
        _add(svg, "line", "then", x1=x, x2=x, y1=y - 2, y2=y + 19)
        right = LABEL_WIDTH + max(share, before) * unit + 5
        _text(svg, f"{share:.1%}, was {before:.1%}", right, y + 12, "start")
    return _markup(svg)


def sparkline(counts: Sequence[int]) -> str:
    """Draw counts as a row of blocks, where there is nothing but text: ▂▅█▃."""
    top = max(counts, default=0)
    blocks = " ▁▂▃▄▅▆▇█"
    return "".join(blocks[math.ceil(8 * count / top) if top else 0] for count in counts)


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

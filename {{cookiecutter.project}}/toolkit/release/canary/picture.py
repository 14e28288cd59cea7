"""A canary's analysis as a picture: the cumulative distribution of both sides' latencies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

WIDTH, HEIGHT = 420, 190
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 10, 44
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
P95 = 95
# A picture may be part of a page, or a file of its own.
XMLNS = "http://www.w3.org/2000/svg"
# The smallest latency in milliseconds that is drawn: a logarithm needs more than 0.
LEAST_MS = 0.01

# The page defines the colours, for light, dark and print; the fallbacks are for a single file.
TEXT = "var(--quiet, #57606a)"
LINE = "var(--line, #d5d9df)"
SIDES = {"baseline": "var(--then, #1c2128)", "canary": "var(--now, #5b8def)"}


def picture(analysis: Mapping[str, Any]) -> str:
    """Draw the share of requests answered within so many milliseconds, of both sides in one.

    Parameters
    ----------
    analysis : mapping
        What ``Ledger.analysis`` returns: its ``quantiles_ms`` are the minimum, every percentile and
        the maximum of each side.

    Returns
    -------
    str
        SVG for an HTML page; empty where neither side was measured.
    """
    measured = {name: _quantiles(analysis, name) for name in SIDES}
    sides = {name: quantiles for name, quantiles in measured.items() if quantiles}
    if not sides:
        return ""
    low = min(quantiles[0] for quantiles in sides.values())
    high = max(max(quantiles[-1] for quantiles in sides.values()), low * 1.02)

    def across(milliseconds: float) -> float:
        place = math.log(milliseconds / low) / math.log(high / low)
        return LEFT + place * (WIDTH - LEFT - RIGHT)

    def upwards(share: float) -> float:
        return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)

    svg = _frame(sides)
    for share in SHARES:
        y = upwards(share)
        _line(svg, LINE, f"M{LEFT},{y:.1f}H{WIDTH - RIGHT}")
        _text(svg, f"{share:.0%}", LEFT - 5, y + 4, "end")
    for tick in _ticks(low, high):
        x = across(tick)
        _line(svg, LINE, f"M{x:.1f},{upwards(0):.1f}v4")
        _text(svg, f"{tick:g}", x, upwards(0) + 16, "middle")
    _line(svg, TEXT, f"M{LEFT},{upwards(P95 / 100):.1f}H{WIDTH - RIGHT}", dash="4 3")
    for place, (name, quantiles) in enumerate(sides.items()):
        last = len(quantiles) - 1
        points = (
            f"{across(value):.1f},{upwards(at / last):.1f}" for at, value in enumerate(quantiles)
        )
        _line(svg, SIDES[name], "M" + "L".join(points), width="2")
        x, y = across(quantiles[P95]), upwards(P95 / 100)
        dot = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "3.5", "style": f"fill:{SIDES[name]}"}
        ElementTree.SubElement(svg, "circle", dot)
        _legend(svg, place, name, f"{name}: p95 {quantiles[P95]:.3g} ms")
    _text(svg, "ms", WIDTH - RIGHT, HEIGHT - 4, "end")
    return ElementTree.tostring(svg, encoding="unicode")


def _quantiles(analysis: Mapping[str, Any], name: str) -> list[float]:
    """Return one side's quantiles, or nothing where they are not those of an analysis."""
    measured = analysis.get("quantiles_ms")
    values = measured.get(name) if isinstance(measured, Mapping) else None
    if not isinstance(values, list) or len(values) != 101:
        return []
    if not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        return []
    return [max(float(value), LEAST_MS) for value in sorted(values)]


def _ticks(low: float, high: float) -> Sequence[float]:
    """Return round numbers in a range; its ends where it is too narrow for them."""
    first = math.floor(math.log10(low))
    rounds = [
        step * 10.0**power
        for power in range(first, math.ceil(math.log10(high)) + 1)
        for step in (1, 2, 5)
    ]
    ticks = [tick for tick in rounds if low <= tick <= high]
    if len(ticks) > 8:
        ticks = [tick for tick in ticks if math.log10(tick).is_integer()]
    return ticks if len(ticks) > 1 else [float(f"{end:.3g}") for end in (low, high)]


def _frame(sides: Mapping[str, Sequence[float]]) -> ElementTree.Element:
    box = {"xmlns": XMLNS, "viewBox": f"0 0 {WIDTH} {HEIGHT}", "width": str(WIDTH), "role": "img"}
    svg = ElementTree.Element("svg", box)
    p95 = ", ".join(f"{name} p95 {quantiles[P95]:.3g} ms" for name, quantiles in sides.items())
    ElementTree.SubElement(svg, "title").text = f"Latency of the canary and the baseline: {p95}"
    return svg


def _legend(svg: ElementTree.Element, place: int, name: str, text: str) -> None:
    x, y = LEFT + place * 170, HEIGHT - 8
    _line(svg, SIDES[name], f"M{x},{y}h16", width="2")
    _text(svg, text, x + 22, y + 4, "start")


def _line(
    svg: ElementTree.Element, colour: str, path: str, width: str = "1", dash: str = "none"
) -> None:
    style = f"fill:none;stroke:{colour};stroke-width:{width};stroke-dasharray:{dash}"
    ElementTree.SubElement(svg, "path", {"d": path, "style": style})


def _text(svg: ElementTree.Element, text: str, x: float, y: float, anchor: str) -> None:
    style = f"fill:{TEXT};font:11px system-ui,sans-serif"
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "style": style}
    ElementTree.SubElement(svg, "text", place).text = text

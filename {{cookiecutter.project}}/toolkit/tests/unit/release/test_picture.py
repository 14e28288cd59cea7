"""A canary's analysis as a picture."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from toolkit.release.canary.picture import picture

FAST = [1.0 + number / 50 for number in range(101)]
SLOW_TAIL = [*FAST[:90], *[80.0 + number for number in range(11)]]


# Required in a file: without it a browser would show the picture's text.
NAMESPACE = "{http://www.w3.org/2000/svg}"


def drawn(**quantiles_ms: Any) -> ElementTree.Element:
    """Return a picture, its elements by their plain names."""
    svg = ElementTree.fromstring(picture({"quantiles_ms": quantiles_ms}))
    for element in svg.iter():
        assert element.tag.startswith(NAMESPACE)
        element.tag = element.tag.removeprefix(NAMESPACE)
    return svg


def dots(svg: ElementTree.Element) -> list[float]:
    """Return where the curves reach 95 %, across."""
    return [float(dot.attrib["cx"]) for dot in svg.iter("circle")]


def test_both_curves_and_their_p95_are_drawn() -> None:
    svg = drawn(baseline=FAST, canary=SLOW_TAIL)
    text = " ".join("".join(element.itertext()) for element in svg.iter("text"))
    assert "baseline: p95 2.9 ms" in text and "canary: p95 85 ms" in text
    baseline, canary = dots(svg)
    assert canary > baseline + 100
    title = svg.find("title")
    assert title is not None and title.text is not None and "canary p95 85 ms" in title.text


def test_a_curve_goes_from_the_fastest_answer_to_the_slowest() -> None:
    svg = drawn(baseline=FAST, canary=FAST)
    (first, second) = [
        path.attrib["d"] for path in svg.iter("path") if path.attrib["d"].count("L") == 100
    ]
    assert first == second
    places = [tuple(map(float, point.split(","))) for point in re.split("[ML]", first)[1:]]
    assert places == sorted(places, key=lambda place: (place[0], -place[1]))
    assert places[0][0] == 40 and places[-1][0] == 408


@pytest.mark.parametrize("same", [0.0, 3.0, 10_000.0])
def test_equal_latencies_can_be_drawn(same: float) -> None:
    assert len(dots(drawn(baseline=[same] * 101, canary=[same] * 101))) == 2


def test_a_side_without_requests_is_left_out() -> None:
    assert len(dots(drawn(baseline=FAST, canary=[]))) == 1


@pytest.mark.parametrize(
    "analysis",
    [
        {},
        {"quantiles_ms": None},
        {"quantiles_ms": {"baseline": [], "canary": []}},
        {"quantiles_ms": {"baseline": "<script>", "canary": [1.0] * 100}},
        {"quantiles_ms": {"baseline": [float("nan")] * 101, "canary": [True] * 101}},
        {"quantiles_ms": {"baseline": ["</svg>"] * 101}},
    ],
)
def test_without_a_measurement_there_is_no_picture(analysis: dict[str, Any]) -> None:
    assert picture(analysis) == ""

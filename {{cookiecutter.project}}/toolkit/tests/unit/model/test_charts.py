"""Pictures are drawn to scale and labelled, and a text in them cannot become markup."""

from xml.etree import ElementTree

import pytest

from toolkit.reports import charts


def shapes(picture: str, tag: str, kind: str) -> list[dict[str, str]]:
    """Return the attributes of every shape of one kind."""
    svg = ElementTree.fromstring(picture)
    return [found.attrib for found in svg.iter(tag) if found.get("class") == kind]


def words(picture: str) -> list[str]:
    """Return every text in a picture."""
    return [found.text or "" for found in ElementTree.fromstring(picture).iter("text")]


def test_a_bar_is_as_high_as_its_share() -> None:
    picture = charts.histogram([10, 30, 0], [1, 1, 2], start=0, width=5, title="ages")
    heights = [float(bar["height"]) for bar in shapes(picture, "rect", "now")]
    assert heights[1] == pytest.approx(3 * heights[0], rel=0.01)
    assert heights[2] == 0
    assert len(shapes(picture, "path", "then")) == 1


def test_a_histogram_names_its_ends_and_shares() -> None:
    said = words(charts.histogram([10, 30], [1, 1], start=0, width=50, title="ages"))
    assert {"0", "100", "0%", "40%", "80%"} <= set(said)


def test_a_histogram_names_its_axes() -> None:
    plain = charts.histogram([1], [1], 0, 1, "ages")
    named = charts.histogram([1], [1], 0, 1, "ages", across="age", upwards="share of rows")
    assert set(words(named)) - set(words(plain)) == {"age", "share of rows"}


def test_a_histogram_of_nothing_is_empty() -> None:
    picture = charts.histogram([0, 0], [3, 1], start=0, width=1, title="ages")
    assert {float(bar["height"]) for bar in shapes(picture, "rect", "now")} == {0.0}


@pytest.mark.parametrize(("start", "width"), [(0.0, 1e-9), (-1e12, 1e10), (3.0, 0.25)])
def test_a_scale_has_a_few_round_numbers(start: float, width: float) -> None:
    said = words(charts.histogram([1] * 24, [1] * 24, start, width, "x"))
    assert 2 <= len(said) - 3 <= 7


def test_categories_show_both_shares_and_their_names() -> None:
    picture = charts.categories([1, 3], [2, 2], ["basic", "full"], "plan")
    assert words(picture) == [
        *("share of rows", "basic", "25.0%, reference 50.0%", "full", "75.0%, reference 50.0%")
    ]
    widths = [float(bar["width"]) for bar in shapes(picture, "rect", "now")]
    assert widths[1] == pytest.approx(3 * widths[0], rel=0.01)


def test_a_long_name_is_cut_and_a_wild_one_stays_text() -> None:
    picture = charts.categories([1, 1], [1, 1], ["x" * 99, "<b>&</b>"], "<script>")
    assert "x" * 19 + "…" in words(picture) and "<b>&</b>" in words(picture)
    assert "<b>" not in picture and "<script>" not in picture


def test_a_sparkline_is_a_block_for_each_count() -> None:
    assert charts.sparkline([0, 1, 4, 8]) == " ▁▄█"
    assert charts.sparkline([0, 0]) == "  "
    assert charts.sparkline([]) == ""

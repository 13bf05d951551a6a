"""Drawings are well-formed markup, whatever the names say and however the numbers lie."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from throughline.reports import charts

HOSTILE = '<script>alert("1")</script> & co'


def marks(drawn: str, kind: str) -> list[ElementTree.Element]:
    return [one for one in ElementTree.fromstring(drawn).iter() if one.tag == kind]


def test_curves_have_a_line_each_and_say_what_the_axes_are() -> None:
    drawn = charts.curves(HOSTILE, HOSTILE, {HOSTILE: [(0, 1), (1, 0.5)], "none": []}, "recall", "precision")
    [line] = marks(drawn, "path")
    assert line.attrib["d"].startswith("M64.0,12.0 L986.0,171.0")
    texts = {one.text for one in marks(drawn, "text")}
    assert {"recall", "precision", "0", "0.2", "1"} <= texts
    assert "<script>" not in drawn


@pytest.mark.parametrize("points", [[], [(1.0, 0.5, "only", 0)], [(2.0, 0.5, "a", 0), (2.0, 0.5, HOSTILE, 9)]])
def test_points_that_lie_on_each_other_are_drawn_with_the_names_that_have_room(
    points: list[tuple[float, float, str, int]],
) -> None:
    drawn = charts.scatter("front", "about", points, "speed", "mAP")
    assert len(marks(drawn, "circle")) == len(points)
    assert "<script>" not in drawn


def test_names_of_points_never_lie_on_each_other() -> None:
    points = [(1 + number / 200, 0.5, f"setting number {number}", number) for number in range(40)]
    written = [one for one in marks(charts.scatter("", "", points, "", ""), "text") if "setting" in (one.text or "")]
    assert 0 < len(written) < 40
    assert len(marks(charts.scatter("", "", points, "", ""), "circle")) == 40


def test_a_heat_map_has_a_cell_for_each_pair_and_writes_what_is_there() -> None:
    drawn = charts.heat("t", "a", ["car", HOSTILE], ["car", "dog", "nothing"], [[9, 1, 0], [0, 0, 0]], "said", "is")
    assert len(marks(drawn, "rect")) == 6
    assert [one.text for one in marks(drawn, "text") if (one.text or "").isdecimal()] == ["9", "1"]
    assert "<script>" not in drawn


def test_a_spread_has_a_bar_for_each_stretch_that_holds_something_and_darker_ones_inside() -> None:
    values = [0.1 * number for number in range(120)]
    drawn = charts.spread(HOSTILE, HOSTILE, values, (3.0, 6.0), {HOSTILE: 0.0, "margin": -0.1}, "difference")
    bars = [one for one in marks(drawn, "rect") if one.attrib["class"] == "bar"]
    counts = [int(one[0].text.rpartition(": ")[2]) for one in bars if one[0].text]
    assert sum(counts) == 120
    assert 0 < sum("0.85" in one.attrib["style"] for one in bars) < len(bars)
    assert {"margin", "difference"} <= {one.text for one in marks(drawn, "text")}
    assert "<script>" not in drawn
    assert marks(charts.spread("t", "a", [], (0, 0), {}, "x"), "rect") == []
    assert len(marks(charts.spread("t", "a", [2.0, 2.0], (0, 0), {}, "x"), "rect")) == 1


def test_a_forest_has_a_point_for_each_figure_and_a_line_where_its_interval_is_known() -> None:
    nothing = float("nan")
    rows = [
        (HOSTILE, -0.1, 0.1, 0.3, "written", 2),
        ("too few", nothing, 0.5, nothing, "", 7),
        ("", nothing, nothing, nothing, "", 0),
    ]
    drawn = charts.forest("t", "a", rows, {"no difference": 0.0}, "difference")
    assert len(marks(drawn, "circle")) == 2
    assert sum("stroke-width:2.5" in one.attrib.get("style", "") for one in marks(drawn, "line")) == 1
    assert "<script>" not in drawn

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

"""The annotations of one COCO picture: boxes, outlines as polygons or run lengths, and which of them are crowds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from throughline.contracts.errors import InputError
from throughline.data.formats import Size
from throughline.data.formats._boxes import fault_of
from throughline.data.formats._json_lines import JsonLines
from throughline.data.marks import Marks
from throughline.data.problems import Problems
from throughline.data.shapes import Runs, Shape, box_of, polygons_from, runs_from

_ALIKE = 8
"""With so many of the same box an outline is compared: enough to find what was written twice."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is used of one annotation, as it is written; ``where`` is its place in the file."""

    where: str
    kind: int
    box: Any
    outline: Any
    crowd: bool
    area: float | None
    track: int | None

    @classmethod
    def of(cls, where: str, written: dict[str, Any], kind: int) -> Annotation:
        """From an object of the JSON file."""
        area, track = written.get("area"), written.get("track_id")
        return cls(
            where,
            kind,
            written.get("bbox"),
            written.get("segmentation") or None,
            written.get("iscrowd") in (1, True),
            float(area) if area is not None and _is_number(area) else None,
            track if type(track) is int and abs(track) < 2**62 else None,
        )


def read_marks(
    lines: JsonLines,
    where: str,
    picture: dict[str, Any],
    annotations: Sequence[Annotation],
    outlined: bool,
    tracked: bool,
    size: Size,
    problems: Problems,
) -> Marks:
    """All of one picture; what is wrong is noted with its annotation's place."""
    height, width = size
    said = picture.get("width", width), picture.get("height", height)
    if said != (width, height):
        says = f"it says {said[0]} x {said[1]}, and the picture, upright, is {width} x {height}"
        lines.note(problems, "picture size", where, says, severe=bool(annotations))
        return Marks.of((), ())
    rows: list[tuple[Annotation, tuple[float, float, float, float], Shape | None]] = []
    seen: dict[tuple[object, ...], list[Annotation]] = {}
    for one in annotations:
        try:
            shape = _shape(one.outline, size)
            box = _box(one.box) if one.box is not None or shape is None else box_of(shape, size)
        except InputError as error:
            lines.note(problems, "malformed line", one.where, error.problem, severe=True)
            continue
        if (fault := fault_of(box, size)) is not None:
            lines.note(problems, fault.kind, one.where, fault.says, severe=fault.severe)
        alike = seen.setdefault((one.kind, box, one.track), [])
        if (same := next((other for other in alike[:_ALIKE] if other.outline == one.outline), None)) is not None:
            lines.note(problems, "duplicate line", one.where, f"the same as {same.where}")
        alike.append(one)
        rows.append((one, box, shape))
    crowd = np.array([one.crowd for one, _, _ in rows], np.bool_)
    area = np.array([_area(one, box) for one, box, _ in rows], np.float64)
    tracks = np.array([-1 if one.track is None else one.track for one, _, _ in rows], np.int64)
    return Marks.of(
        [box for _, box, _ in rows],
        [one.kind for one, _, _ in rows],
        shapes=tuple(shape for _, _, shape in rows) if outlined else None,
        tracker_id=tracks if tracked else None,
        data={"crowd": crowd, "area": area},
    )


def _area(one: Annotation, box: tuple[float, float, float, float]) -> float:
    """As it is written, since COCO sorts objects into small, medium and large by it; the box's where it is not."""
    return one.area if one.area is not None else (box[2] - box[0]) * (box[3] - box[1])


def _box(written: Any) -> tuple[float, float, float, float]:
    if not isinstance(written, list) or len(written) != 4 or not all(map(_is_number, written)):
        raise InputError(f"bbox is {written!r:.60}; it must be four numbers: left, top, width, height")
    left, top, width, height = map(float, written)
    return left, top, left + width, top + height


def _shape(written: Any, size: Size) -> Shape | None:
    if written is None:
        return None
    if isinstance(written, dict):
        return _runs(written, size)
    if not isinstance(written, list):
        raise InputError("segmentation is neither a list of polygons nor run lengths")
    parts = []
    for part in written:
        if not isinstance(part, list) or len(part) < 6 or len(part) % 2 or not all(map(_is_number, part)):
            raise InputError(f"segmentation holds {part!r:.60}; a polygon is at least 6 numbers, x and y in turn")
        parts.append(np.asarray(part, np.float64).reshape(-1, 2))
    return polygons_from(parts)


def _runs(written: dict[str, Any], size: Size) -> Runs:
    if written.get("size") != list(size):
        raise InputError(f"run lengths of the size {written.get('size')!r:.40}; the picture has {list(size)}")
    counts = written.get("counts")
    if not isinstance(counts, str | list):
        raise InputError("run lengths without 'counts'")
    return runs_from(counts, size)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e12 and math.isfinite(value)

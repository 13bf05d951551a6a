"""One YOLO label file: a line an object, its class and then a box, an outline, or a box and keypoints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from throughline.contracts.errors import InputError
from throughline.data.bounded import read_text
from throughline.data.formats import Size
from throughline.data.formats._boxes import fault_of
from throughline.data.marks import Marks
from throughline.data.problems import Problems
from throughline.data.shapes import Shape, polygons_from

_MOST_BYTES = 1 << 26
_PIXELS = 2.0
"""A share of a picture is at most 1; from here on it must be meant in pixels."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the lines of a set hold: the classes, and how many keypoints of how many numbers each."""

    labels: tuple[str, ...]
    named_in: tuple[tuple[Path, int | None], ...]
    keypoints: tuple[int, int] | None


def read_labels(path: Path, layout: Layout, size: Size, problems: Problems) -> Marks:
    """Every object of one picture; no file says that there are none."""
    if not path.is_file():
        return Marks.of((), ())
    try:
        text = read_text(path, _MOST_BYTES)
    except InputError as error:
        problems.add("label unreadable", path, error.problem.removeprefix(f"{path}: "), severe=True)
        return Marks.of((), ())
    rows = _Rows(path, layout, size, problems)
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            rows.add(number, line)
    return rows.marks()


class _Rows:
    """The lines read so far."""

    def __init__(self, path: Path, layout: Layout, size: Size, problems: Problems) -> None:
        self._path, self._layout, self._size, self._problems = path, layout, size, problems
        self._boxes: list[tuple[float, float, float, float]] = []
        self._classes: list[int] = []
        self._shapes: list[Shape | None] = []
        self._points: list[list[float]] = []
        self._seen: dict[tuple[float, ...], int] = {}

    def add(self, number: int, line: str) -> None:
        """Read one line, or say what is wrong with it."""
        try:
            kind, *values = map(float, line.split())
        except ValueError:
            wrong: tuple[str, str] | None = ("malformed line", f"'{line.strip()[:60]}' holds what is no number")
        else:
            wrong = self._wrong(line, kind, values)
        if wrong is not None:
            self._problems.add(wrong[0], self._path, wrong[1], line=number, severe=True)
            return
        if (before := self._seen.setdefault((kind, *values), number)) != number:
            self._problems.add("duplicate line", self._path, f"the same as line {before}", line=number)
        self._keep(number, int(kind), values)

    def _wrong(self, line: str, kind: float, values: list[float]) -> tuple[str, str] | None:
        if not all(map(math.isfinite, (kind, *values))):
            return "not a number", f"'{line.strip()[:60]}' holds a number that is none"
        if (says := self._ill_formed(values)) is not None:
            return "malformed line", says
        classes = len(self._layout.labels)
        if kind != int(kind) or not 0 <= kind < classes:
            return "label out of range", f"class {kind:g}; there are {classes}: 0 to {classes - 1}"
        largest = max(values, key=abs)
        if abs(largest) > _PIXELS:
            return "box outside", f"{largest:g} is no share of a picture, 0 to 1; is it in pixels?"
        return None

    def _ill_formed(self, values: list[float]) -> str | None:
        if (points := self._layout.keypoints) is not None:
            wanted = 4 + points[0] * points[1]
            return (
                None if len(values) == wanted else f"it has {1 + len(values)} numbers; kpt_shape asks for {1 + wanted}"
            )
        if len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0):
            return None
        return f"it has {1 + len(values)} numbers; a box has 5, an outline 7 or more: the class, then x and y in turn"

    def _keep(self, number: int, kind: int, values: list[float]) -> None:
        height, width = self._size
        shape: Shape | None = None
        if len(values) > 4 and self._layout.keypoints is None:
            points = np.asarray(values, np.float64).reshape(-1, 2) * (width, height)
            try:
                shape = polygons_from([points])
            except InputError as error:
                self._problems.add("malformed line", self._path, error.problem, line=number, severe=True)
                return
            (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        else:
            x, y, wide, tall = values[:4]
            x1, x2 = (x - wide / 2) * width, (x + wide / 2) * width
            y1, y2 = (y - tall / 2) * height, (y + tall / 2) * height
        if (fault := fault_of((x1, y1, x2, y2), self._size)) is not None:
            self._problems.add(fault.kind, self._path, fault.says, line=number, severe=fault.severe)
        self._boxes.append((x1, y1, x2, y2))
        self._classes.append(kind)
        self._shapes.append(shape)
        self._points.append(values[4:])

    def marks(self) -> Marks:
        """All of them."""
        columns = {}
        if (layout := self._layout.keypoints) is not None:
            height, width = self._size
            points = np.ones((len(self._boxes), layout[0], 3), np.float32)
            given = np.asarray(self._points, np.float64).reshape(-1, *layout)
            points[:, :, : layout[1]] = given
            points[:, :, :2] *= (width, height)
            columns["keypoints"] = points
        shapes = tuple(self._shapes) if any(shape is not None for shape in self._shapes) else None
        return Marks.of(self._boxes, self._classes, shapes=shapes, data=columns)

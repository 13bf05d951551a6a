"""What was found in one frame, held as columns so that ten thousand boxes cost one array.

The names are those of ``supervision.Detections``, so handing results to that library,
or to code written for it, copies nothing but the masks, which are kept small here.

A row is about an object, or about the whole frame: what a classifier says. The latter
are marked in the column ``data["of_frame"]``; their box is the frame's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError, MissingExtra
from throughline.contracts.masks import Masks

UNNAMED = 1000
"""How many class numbers a model takes up in a record of several when nobody has named its classes."""

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True, slots=True)
class Detection:
    """One object: its box ``(x1, y1, x2, y2)`` in pixels, confidence and class."""

    bbox: tuple[float, float, float, float]
    confidence: float
    class_id: int
    class_name: str


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What was found in one frame, one row each, in the pixels of the frame as displayed.

    Attributes:
        xyxy: n x 4 boxes, ``float32``.
        confidence: n scores from 0 to 1.
        class_id: n class numbers.
        masks: n masks, where the model gives them.
        tracker_id: n identities, once a tracker has seen them; -1 is a row that has none.
        data: further columns by name, each n long: "keypoints" (n x k x (x, y, visibility)),
            "of_frame", and "model", each row's, where several models spoke.
        labels: the class names that ``class_id`` counts into.
    """

    xyxy: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    masks: Masks | None = None
    tracker_id: npt.NDArray[np.int64] | None = None
    data: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.xyxy.ndim != 2 or self.xyxy.shape[1] != 4:
            raise InputError(f"xyxy has shape {self.xyxy.shape}; it must be (n, 4)")
        if isinstance(self.masks, np.ndarray):
            raise InputError("masks are full pictures, an array", "give Masks.of(array)")
        if self.masks is not None and len(self.masks) != len(self.xyxy):
            raise InputError(f"there are {len(self.masks)} masks and {len(self.xyxy)} boxes")
        columns = {"confidence": self.confidence, "class_id": self.class_id, "tracker_id": self.tracker_id, **self.data}
        for name, column in columns.items():
            if column is not None and (column.ndim < 1 or len(column) != len(self.xyxy)):
                raise InputError(f"{name} has shape {column.shape}; there are {len(self.xyxy)} boxes")

    @classmethod
    def empty(cls, labels: tuple[str, ...] = ()) -> Detections:
        """Nothing found."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), labels=labels)

    @classmethod
    def together(cls, parts: Sequence[Detections], names: Sequence[str]) -> Detections:
        """What several models say of one frame, each row with its model's name in ``data["model"]``.

        The labels follow each other, and class numbers count into all of them: what a number means
        depends on the models alone, not on what they found. A model without labels has a thousand,
        which are numbers. A column that only some have is filled up where it is missing: with -1, NaN,
        False or "". Identities are kept as they are.
        """
        labels: tuple[str, ...] = ()
        shifted: list[Detections] = []
        for part, name in zip(parts, names, strict=True):
            own = part.labels or _NUMBERS
            if (unknown := part.class_id[(part.class_id < 0) | (part.class_id >= len(own))]).size:
                raise InputError(
                    f"model '{name}' found class {unknown[0]} and has names for {len(own)} classes",
                    "write the names of all its classes into its passport",
                )
            data = {**part.data, "model": np.full(len(part), name, f"<U{max(1, *map(len, names))}")}
            shifted.append(replace(part, class_id=part.class_id + len(labels), data=data))
            labels += own
        if not parts:
            return cls.empty()
        tracked = any(part.tracker_id is not None for part in parts)
        identities = [np.full(len(part), -1) if part.tracker_id is None else part.tracker_id for part in parts]
        return cls(
            np.concatenate([part.xyxy for part in parts]),
            np.concatenate([part.confidence for part in parts]),
            np.concatenate([part.class_id for part in shifted]),
            Masks.stacked([(part.masks, len(part)) for part in parts]),
            np.concatenate(identities) if tracked else None,
            {name: _column(name, shifted) for name in dict.fromkeys(name for part in shifted for name in part.data)},
            labels,
        )

    def __len__(self) -> int:
        return len(self.xyxy)

    def __iter__(self) -> Iterator[Detection]:
        rows = zip(self.xyxy.tolist(), self.confidence.tolist(), self.class_id.tolist(), strict=True)
        for (x1, y1, x2, y2), confidence, class_id in rows:
            yield Detection((x1, y1, x2, y2), confidence, class_id, self.name_of(class_id))

    @property
    def mask(self) -> npt.NDArray[np.bool_] | None:
        """The masks as full pictures, n x height x width, made anew at each call: 8 MB an object at 4K."""
        return None if self.masks is None else self.masks.full()

    @property
    def of_frame(self) -> npt.NDArray[np.bool_]:
        """Which rows are about the whole frame and not about an object in it."""
        marked = self.data.get("of_frame")
        return np.zeros(len(self), np.bool_) if marked is None else marked.astype(np.bool_, copy=False)

    @property
    def identities(self) -> list[int | None]:
        """Each row's identity; None for one that has none."""
        if self.tracker_id is None:
            return [None] * len(self)
        return [identity if identity >= 0 else None for identity in self.tracker_id.tolist()]

    @property
    def keypoints(self) -> list[npt.NDArray[np.float32] | None]:
        """Each row's keypoints, k x (x, y, visibility); None for one whose model gives none."""
        column = self.data.get("keypoints")
        if column is None:
            return [None] * len(self)
        given = ~np.isnan(column).all(axis=2)  # beside a model with more keypoints, or with none, rows are filled up
        return [points[one] if one.any() else None for points, one in zip(column, given, strict=True)]

    @property
    def models(self) -> list[str]:
        """The name of each row's model; no names where only one speaks."""
        column = self.data.get("model")
        return [""] * len(self) if column is None else list(map(str, column))

    def name_of(self, class_id: int) -> str:
        """The label of a class, or its number where the model has no labels."""
        return self.labels[class_id] if 0 <= class_id < len(self.labels) else str(class_id)

    def __getitem__(self, rows: npt.NDArray[Any] | slice) -> Detections:
        """The same columns, with only these rows (a mask, indices or a slice)."""
        return Detections(
            self.xyxy[rows],
            self.confidence[rows],
            self.class_id[rows],
            None if self.masks is None else self.masks[rows],
            None if self.tracker_id is None else self.tracker_id[rows],
            {name: column[rows] for name, column in self.data.items()},
            self.labels,
        )

    def to_supervision(self) -> supervision.Detections:
        """The same arrays as a ``supervision.Detections``; nothing but masks is copied."""
        try:
            import supervision
        except ModuleNotFoundError:
            raise MissingExtra("supervision", "to_supervision()", "track") from None
        return supervision.Detections(
            xyxy=self.xyxy,
            mask=self.mask,
            confidence=self.confidence,
            class_id=self.class_id,
            tracker_id=self.tracker_id,
            data=dict(self.data),
        )


_NUMBERS = tuple(map(str, range(UNNAMED)))


def _column(name: str, parts: Sequence[Detections]) -> npt.NDArray[Any]:
    """One further column of all the parts, as wide as the widest, filled up where a part does not have it."""
    given = [part.data[name] for part in parts if name in part.data]
    if len({column.ndim for column in given}) > 1:
        raise InputError(f"{name} has shapes {[column.shape for column in given]}; these do not go together")
    kind = np.result_type(*given)
    room = tuple(map(max, zip(*(column.shape[1:] for column in given), strict=True)))
    whole = np.full((sum(map(len, parts)), *room), _NOTHING[kind.kind], kind)
    start = 0
    for part in parts:
        if (column := part.data.get(name)) is not None:
            whole[(slice(start, start + len(part)), *map(slice, column.shape[1:]))] = column
        start += len(part)
    return whole


_NOTHING: Mapping[str, Any] = {"b": False, "i": -1, "u": 0, "f": np.nan, "c": np.nan, "U": "", "S": b"", "O": None}

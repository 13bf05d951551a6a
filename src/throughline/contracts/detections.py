"""What was found in one frame, held as columns so that ten thousand boxes cost one array.

The field names are those of ``supervision.Detections``, so handing results to
that library, or to code written for it, copies nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError, MissingExtra

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
    """All objects of one frame, one row each, in the pixels of the frame as displayed.

    Attributes:
        xyxy: n x 4 boxes, ``float32``.
        confidence: n scores from 0 to 1.
        class_id: n class numbers.
        mask: n x height x width booleans, where the model gives masks.
        tracker_id: n identities, once a tracker has seen them.
        data: further columns by name, each n long.
        labels: the class names that ``class_id`` counts into.
    """

    xyxy: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    mask: npt.NDArray[np.bool_] | None = None
    tracker_id: npt.NDArray[np.int64] | None = None
    data: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.xyxy.ndim != 2 or self.xyxy.shape[1] != 4:
            raise InputError(f"xyxy has shape {self.xyxy.shape}; it must be (n, 4)")
        columns = {"confidence": self.confidence, "class_id": self.class_id, "tracker_id": self.tracker_id, **self.data}
        for name, column in columns.items():
            if column is not None and (column.ndim < 1 or len(column) != len(self.xyxy)):
                raise InputError(f"{name} has shape {column.shape}; there are {len(self.xyxy)} boxes")
        if self.mask is not None and (self.mask.ndim != 3 or len(self.mask) != len(self.xyxy)):
            raise InputError(f"mask has shape {self.mask.shape}; it must be ({len(self.xyxy)}, height, width)")

    @classmethod
    def empty(cls, labels: tuple[str, ...] = ()) -> Detections:
        """Nothing found."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), labels=labels)

    def __len__(self) -> int:
        return len(self.xyxy)

    def __iter__(self) -> Iterator[Detection]:
        rows = zip(self.xyxy.tolist(), self.confidence.tolist(), self.class_id.tolist(), strict=True)
        for (x1, y1, x2, y2), confidence, class_id in rows:
            yield Detection((x1, y1, x2, y2), confidence, class_id, self.name_of(class_id))

    def name_of(self, class_id: int) -> str:
        """The label of a class, or its number where the model has no labels."""
        return self.labels[class_id] if 0 <= class_id < len(self.labels) else str(class_id)

    def __getitem__(self, rows: npt.NDArray[Any] | slice) -> Detections:
        """The same columns, with only these rows (a mask, indices or a slice)."""
        return Detections(
            self.xyxy[rows],
            self.confidence[rows],
            self.class_id[rows],
            None if self.mask is None else self.mask[rows],
            None if self.tracker_id is None else self.tracker_id[rows],
            {name: column[rows] for name, column in self.data.items()},
            self.labels,
        )

    def to_supervision(self) -> supervision.Detections:
        """The same arrays as a ``supervision.Detections``; nothing is copied."""
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

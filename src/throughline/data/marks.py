"""What is written about one picture, kept as small as it is written until somebody asks for it.

Masks are drawn when a sample is taken, not when its set is opened: those of a few
thousand pictures would fill the memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.masks import Masks
from throughline.data.shapes import Polygons, Shape, crop_of


class Digest(Protocol):
    """What ``hashlib`` makes."""

    def update(self, data: bytes, /) -> None:
        """Take in more."""


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """The objects of one picture, one row each (see ``Detections``); ``shapes`` where there are any outlines."""

    xyxy: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    shapes: tuple[Shape | None, ...] | None = None
    tracker_id: npt.NDArray[np.int64] | None = None
    data: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, boxes: Sequence[Sequence[float]], classes: Sequence[int], **columns: Any) -> Marks:
        """From lists, which may be empty."""
        xyxy = np.asarray(boxes, np.float32).reshape(-1, 4)
        return cls(xyxy, np.asarray(classes, np.int64).reshape(-1), **columns)

    def truth(self, size: tuple[int, int], labels: tuple[str, ...]) -> Detections:
        """The same as results, in a picture of this height and width."""
        masks = None
        if self.shapes is not None:
            crops = tuple(None if shape is None else crop_of(shape, size) for shape in self.shapes)
            masks = Masks(size, crops)
        sure = np.ones(len(self.xyxy), np.float32)
        return Detections(self.xyxy, sure, self.class_id, masks, self.tracker_id, self.data, labels)

    def feed(self, digest: Digest) -> None:
        """Give all of it to a hash, in an order of bytes that is the same on every machine."""
        columns: dict[str, npt.NDArray[Any] | None] = {
            "xyxy": self.xyxy, "class_id": self.class_id, "tracker_id": self.tracker_id,
            **{f"data.{name}": self.data[name] for name in sorted(self.data)},
        }  # fmt: skip
        for name, column in columns.items():
            if column is not None:
                feed(digest, name, str(column.shape), column.astype(column.dtype.newbyteorder("<")).tobytes())
        for shape in self.shapes or ():
            if isinstance(shape, Polygons):
                feed(digest, "polygons", *(part.astype("<f8").tobytes() for part in shape.parts))
            elif shape is not None:
                feed(digest, "runs", shape.counts.astype("<i8").tobytes())
            else:
                feed(digest, "no shape")


def feed(digest: Digest, *parts: str | bytes) -> None:
    """Several parts, each after its length, so that no two lists of parts look alike."""
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)

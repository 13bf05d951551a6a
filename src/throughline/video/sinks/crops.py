"""Every object cut out of its frame, as JPEGs sorted by class and track: training data, or evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.contracts.streams import SourceInfo
from throughline.plugins import Plugin
from throughline.video.sinks._parts import Parts
from throughline.video.sinks._pictures import Archive, jpeg, unpack


class CropsSink:
    """Writes ``crops/<class number>-<class>/<track>/<frame>-<row>.jpg``."""

    def __init__(self, target: Path) -> None:
        self._parts = Parts(target)
        self._archive: Archive | None = None

    def write(self, frame: Frame, found: Detections) -> None:
        """Cut out one frame's boxes; what lies outside the frame has no picture, nor has what is about all of it."""
        found = found[~found.of_frame]
        if not len(found):
            return
        height, width = frame.image.shape[:2]
        boxes = np.hstack([np.floor(found.xyxy[:, :2]), np.ceil(found.xyxy[:, 2:])])
        corners = np.clip(boxes, 0, [width, height, width, height]).astype(int).tolist()
        rows = zip(corners, found.class_id.tolist(), found.identities, strict=True)
        for row, ((x1, y1, x2, y2), class_id, identity) in enumerate(rows):
            if x2 <= x1 or y2 <= y1:
                continue
            track = "untracked" if identity is None else str(identity)
            name = f"{class_id}-{_plain(found.name_of(class_id))}/{track}/{frame.index:08}-{row:03}.jpg"
            with self._parts.writing():
                self._open().add(name, jpeg(frame.image[y1:y2, x1:x2]))

    def commit(self, part: int) -> None:
        """Put the crops so far in place."""
        with self._parts.writing():
            self._open().close()
        self._archive = None
        self._parts.put(part)

    def finish(self, parts: int) -> tuple[Path, ...]:
        """Unpack the parts into the folder."""
        return self._parts.join(parts, unpack)

    def abort(self) -> None:
        """Drop the crops since the last commit."""
        if self._archive is not None:
            with suppress(OSError):  # it is going away
                self._archive.close()
            self._archive = None
        self._parts.drop()

    def _open(self) -> Archive:
        if self._archive is None:
            self._archive = Archive(self._parts.fresh())
        return self._archive


def _plain(label: str) -> str:
    """A label as a name that every file system takes. It need not be unique: the class number stands before it."""
    return re.sub(r"[^\w\- ]", "_", label).encode("utf-8", "replace")[:80].decode("utf-8", "ignore").strip() or "_"


def make(folder: Path, *, info: SourceInfo, labels: tuple[str, ...] = (), models: Sequence[str] = ()) -> CropsSink:
    """A picture for every object."""
    return CropsSink(folder / "crops")


PLUGIN = Plugin(make=make, summary="a JPEG of every object, by class and track", needs=("cv2",))

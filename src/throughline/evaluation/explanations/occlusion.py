"""Where a model looks: what happens to its answer when a place of the picture is hidden.

It asks nothing of the model but its answers, so it works with every backend and every decoder. A patch of the picture's
own mean colour goes over the picture in half steps; a place matters as much as the answer fell while it was hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.frames import Frame
from throughline.evaluation.matched import overlaps
from throughline.vision.detector import Detector

Heat: TypeAlias = npt.NDArray[np.float32]
Picture: TypeAlias = npt.NDArray[np.uint8]
_PATCHES: Final = 12
"""So many patches lie side by side along the longer side."""
_AT_ONCE: Final = 8
_SAME: Final = 0.3
"""Two boxes of a class that overlap this much are the same object; hidden in part, its box may shrink."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """Where the model looked for one thing that it says.

    Attributes:
        kind: what it says: the class's name.
        confidence: how sure it is of the picture as it is.
        box: where the object is; None of an answer about the whole picture.
        heat: how much a place matters, height x width of the picture, 0 and more: by how far the confidence fell
            when it was hidden, unless another method says otherwise.
        method: how the heat was found.
    """

    kind: str
    confidence: float
    box: tuple[float, float, float, float] | None
    heat: Heat
    method: str = "occlusion"

    @property
    def inside(self) -> float:
        """Which share of the heat lies in the box; not a number where there is no box or no heat."""
        total = float(self.heat.sum())
        if self.box is None or total <= 0:
            return float("nan")
        x1, y1, x2, y2 = (max(0, round(side)) for side in self.box)
        return float(self.heat[y1:y2, x1:x2].sum()) / total

    @property
    def by_chance(self) -> float:
        """Which share of the picture the box covers: what would lie in it if the model looked anywhere."""
        if self.box is None:
            return float("nan")
        x1, y1, x2, y2 = self.box
        return (x2 - x1) * (y2 - y1) / self.heat.size


def where_it_looks(detector: Detector, picture: Picture, most: int = 3) -> list[Looked]:
    """Where the model looks for the surest things that it finds.

    Args:
        detector: ready for pictures of this size, its least confidence low enough to see an answer fall.
        picture: height x width x 3, RGB.
        most: how many things.
    """
    whole = asked(detector, [picture])[0]
    surest = whole[np.argsort(-whole.confidence, kind="stable")[:most]]
    if not len(surest):
        return []
    height, width = picture.shape[:2]
    fallen = np.zeros((len(surest), height, width), np.float32)
    covered = np.zeros((height, width), np.float32)
    places = list(_places(height, width))
    for start in range(0, len(places), _AT_ONCE):
        part = places[start : start + _AT_ONCE]
        for place, found in zip(part, asked(detector, [_hidden(picture, one) for one in part]), strict=True):
            fallen[:, place[0], place[1]] += _fallen(surest, found)[:, None, None]
            covered[place] += 1
    heats = fallen / np.maximum(covered, 1)
    return [
        Looked(
            surest.name_of(int(surest.class_id[row])),
            float(surest.confidence[row]),
            None if surest.of_frame[row] else tuple(map(float, surest.xyxy[row])),  # type: ignore[arg-type]
            heats[row],
        )
        for row in range(len(surest))
    ]


def overlaid(picture: Picture, looked: Looked) -> Picture:
    """The picture with the heat on it, and the box of what was found."""
    import cv2

    most = float(looked.heat.max())
    share = looked.heat / most if most > 0 else looked.heat
    smooth = cv2.GaussianBlur(share, (0, 0), max(1.0, max(picture.shape[:2]) / (4 * _PATCHES)))
    smooth = smooth / max(float(smooth.max()), 1e-9) if most > 0 else smooth
    colours = cv2.applyColorMap(np.round(255 * smooth).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    weight = (0.15 + 0.65 * smooth)[..., None]
    shown: Picture = np.ascontiguousarray(np.round(grey * (1 - weight) + colours * weight).astype(np.uint8))
    if looked.box is not None:
        x1, y1, x2, y2 = (round(side) for side in looked.box)
        cv2.rectangle(shown, (x1, y1), (x2, y2), (86, 230, 255), max(1, round(min(picture.shape[:2]) / 240)))
    return shown


def asked(detector: Detector, pictures: list[Picture]) -> list[Detections]:
    """What is found in each of some pictures of one size."""
    batch = detector.buffer(len(pictures))
    fits = detector.fill(batch, [Frame(number, 0.0, one, "") for number, one in enumerate(pictures)])
    return detector.read(detector.predict(batch), fits)


def _places(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    side = max(2, round(max(height, width) / _PATCHES))
    step = max(1, side // 2)
    for top in range(-step, height, step):
        for left in range(-step, width, step):
            yield slice(max(0, top), top + side), slice(max(0, left), left + side)


def _hidden(picture: Picture, place: tuple[slice, slice]) -> Picture:
    hidden = picture.copy()
    hidden[place] = picture.mean(axis=(0, 1)).round().astype(np.uint8)
    return hidden


def _fallen(surest: Detections, found: Detections) -> npt.NDArray[np.float32]:
    """How much less sure the model is of each thing; all of it where it does not find it any more."""
    alike = surest.class_id[:, None] == found.class_id[None, :]
    near = overlaps(surest.xyxy, found.xyxy) >= _SAME
    same = alike & (near | surest.of_frame[:, None])
    left = np.where(same, found.confidence[None, :], 0.0).max(axis=1, initial=0.0)
    fall: npt.NDArray[np.float32] = np.maximum(surest.confidence - left, 0.0).astype(np.float32)
    return fall

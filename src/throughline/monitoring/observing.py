"""From a picture and what a model found in it to a few figures: one observation of one frame.

They say what changes when a camera is moved, gets dirty or films at night, and when other things
come by. The picture is thinned before anything is measured, so that a frame of 720p costs under a
millisecond: the thread that answers requests can afford it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from throughline.contracts.detections import Detections
from throughline.contracts.observations import Observation, Spoke, Vector
from throughline.contracts.tables import Table
from throughline.evaluation.tabular import RowAnswers

Image = npt.NDArray[np.uint8]

_SMALL: Final = 64
"""About so many pixels a side are left of a picture when its light and colour are measured."""
_LINES: Final = 24
"""So many rows and columns, at full resolution, say how sharp a picture is."""
_SHARE: Final = "share of "
_GRID: Final = (6, 4)
"""The vector of a picture: the mean colours of so many fields across and down."""


def figures_of_picture(image: Image) -> dict[str, float]:
    """Light, contrast, sharpness and colour of an RGB picture, without looking at most of it."""
    thin = _thinned(image).astype(np.float32)
    red, green, blue = thin[..., 0], thin[..., 1], thin[..., 2]
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": _sharpness(image),
        "saturation": float((most - least).mean()),
        "warmth": float(red.mean() - blue.mean()),
    }


def figures_of_boxes(found: Detections, size: tuple[int, int]) -> dict[str, float]:
    """How many objects, how large, where, how sure and of which kinds; ``size`` is the picture's height and width."""
    whole = found.of_frame
    objects = found[~whole] if whole.any() else found
    many, (height, width) = len(objects), size
    figures = {"objects": float(many), "box area": math.nan, "box x": math.nan, "box y": math.nan}
    if many:
        boxes = objects.xyxy / np.array([width, height, width, height], np.float32)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        figures["box area"] = float(np.median(areas))
        figures["box x"] = float((boxes[:, 0] + boxes[:, 2]).mean() / 2)
        figures["box y"] = float((boxes[:, 1] + boxes[:, 3]).mean() / 2)
    figures["score"] = float(found.confidence.mean()) if len(found) else math.nan
    names = found.labels or tuple(str(kind) for kind in sorted(set(found.class_id.tolist())))
    counts = {name: 0 for name in names}
    for kind in objects.class_id.tolist():
        name = objects.name_of(kind)
        counts[name] = counts.get(name, 0) + 1
    if many or not whole.any():
        figures.update({f"{_SHARE}{name}": count / many if many else math.nan for name, count in counts.items()})
    return figures


def observe_frame(
    image: Image,
    found: Detections | None,
    *,
    request: str,
    seconds: float = 0.0,
    model: Spoke | None = None,
    picture: str = "",
    source: str = "",
    vector: Vector | None = None,
) -> Observation:
    """One observation of one frame.

    Args:
        image: RGB, ``uint8``.
        found: what the model found in it; None where no model was asked.
        request: its id.
        seconds: when it was.
        model: which model.
        picture: where the picture is kept.
        source: what it belongs to.
        vector: the model's own embedding; the picture's mean colours by field where it gives none.
    """
    numbers, categories, prediction, score = figures_of_picture(image), dict[str, str](), "", math.nan
    if found is not None:
        numbers.update(figures_of_boxes(found, (image.shape[0], image.shape[1])))
        score = numbers["score"]
        if len(top := found[found.of_frame]):
            best = int(np.argmax(top.confidence))
            prediction, score = top.name_of(int(top.class_id[best])), float(top.confidence[best])
            categories["class"] = prediction
    return Observation(
        request, seconds, model or Spoke(), numbers, categories, look_of(image) if vector is None else vector, picture,
        prediction, score, source,
    )  # fmt: skip


def observe_rows(
    table: Table, model: Spoke | None = None, said: RowAnswers | None = None, labels: Sequence[str] = ()
) -> Iterator[Observation]:
    """One observation of each row of a table: its numbers, its words, and what a model said; not the target.

    Args:
        table: the rows.
        model: which model was asked.
        said: what it said of each.
        labels: the names of its classes.
    """
    names = [name for name in table.columns if name != table.target]
    words = {name for name in names if table.columns[name].dtype.kind in "Ob"}
    rows = zip(*(table.columns[name].tolist() for name in names), strict=True)
    for number, row in enumerate(rows):
        told = dict(zip(names, row, strict=True))
        categories = {name: str(told[name]) for name in names if name in words and told[name] is not None}
        numbers = {name: float(told[name]) for name in names if name not in words}
        prediction, score = "", math.nan
        if said is not None and said.values is not None:
            numbers["answer"], prediction = float(said.values[number]), f"{said.values[number]:.6g}"
        elif said is not None and said.label is not None:
            kind = int(said.label[number])
            categories["answer"] = prediction = labels[kind] if 0 <= kind < len(labels) else str(kind)
            if said.shares is not None:
                numbers["score"] = score = float(said.shares[number].max())
        yield Observation(
            str(number), float(number), model or Spoke(), numbers, categories, None, "", prediction, score, table.name
        )


def look_of(image: Image) -> Vector:
    """What a picture looks like from afar: the mean colours of a few fields, from 0 to 1."""
    import cv2

    small: npt.NDArray[np.float32] = cv2.resize(_thinned(image), _GRID, interpolation=cv2.INTER_AREA)
    return small.astype(np.float32).reshape(-1) / np.float32(255)


def labels_in(names: Iterable[str]) -> tuple[str, ...]:
    """The classes whose shares are among the names of figures."""
    return tuple(name.removeprefix(_SHARE) for name in names if name.startswith(_SHARE))


def _thinned(image: Image) -> Image:
    rows, columns = (max(1, side // _SMALL) for side in image.shape[:2])
    return image[::rows, ::columns]


def _sharpness(image: Image) -> float:
    """How much neighbours differ: the logarithm of the variance of the Laplacian along a few rows and columns.

    Those are at full resolution: a picture that is made smaller first looks sharp however soft it was.
    """
    green = image[..., 1]
    height, width = green.shape
    if min(height, width) < 3:
        return 0.0
    rows = green[:: max(1, height // _LINES)].astype(np.int16)
    columns = green[:, :: max(1, width // _LINES)].astype(np.int16)
    across = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    down = columns[:-2] - 2 * columns[1:-1] + columns[2:]
    return math.log1p((_mean_square(across) + _mean_square(down)) / 2)


def _mean_square(values: npt.NDArray[np.int16]) -> float:
    """The mean of a Laplacian is nearly nothing, so this is its variance."""
    flat = values.astype(np.float32).reshape(-1)
    return float(flat @ flat) / flat.size

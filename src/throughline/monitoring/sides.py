"""What is held to what: pictures, rows or kept observations, each given one by one and as often as asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from throughline.contracts.artifacts import Artifact
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError, nearest
from throughline.contracts.frames import Frame, Image
from throughline.contracts.observations import Observation, Spoke
from throughline.contracts.samples import DataSet
from throughline.contracts.tables import Table
from throughline.data.pictures import is_picture_file, read_picture
from throughline.data.reading import open_data
from throughline.data.tables import is_table, open_table
from throughline.evaluation.tabular import RowAnswers
from throughline.models.passport import digest
from throughline.monitoring.observation_files import is_observations, read_observations
from throughline.monitoring.observing import observe_frame, observe_rows
from throughline.monitoring.profile import Profile, is_profile
from throughline.vision.detector import Detector
from throughline.vision.drawing import annotate, jpeg

_WIDE: Final = 480
"""So many pixels wide pictures of the report are at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """One frame or row.

    Attributes:
        request: what it is called.
        seconds: when it was.
        source: what it belongs to.
        read: gives its picture; None where there is none.
        observation: what is known of it already.
    """

    request: str
    seconds: float
    source: str
    read: Callable[[], Image] | None = None
    observation: Observation | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two.

    Attributes:
        name: what the user called it.
        about: what it is.
        ordered: whether it comes in the order of time.
        taken: gives all of it, from the beginning, at each call.
        sha256: names it.
        pictures: whether a model can be asked about it.
        table: the rows, where it is a table.
        labels: the names of the classes that it knows.
        count: how many there are, where that is known.
    """

    name: str
    about: str
    ordered: bool
    taken: Callable[[], Iterator[Taken]]
    sha256: str
    pictures: bool = True
    table: Table | None = None
    labels: tuple[str, ...] = ()
    count: int | None = None


@dataclass(slots=True)
class Eye:
    """Looks at pictures and rows with a model, or without one.

    Attributes:
        detector_of: makes the detector for a frame's height and width; None where no model is asked.
        rows_of: asks it about the rows of a table; None where no model is asked.
        labels: the names of its classes.
        spoke: which model it is.
        watch: told of each answer.
    """

    detector_of: Callable[[tuple[int, int]], Detector] | None
    rows_of: Callable[[Table], RowAnswers] | None
    labels: tuple[str, ...]
    spoke: Spoke
    watch: Callable[[Detections], None] | None = None
    _detectors: dict[tuple[int, int], Detector] = field(default_factory=dict)

    def see(self, side: Side) -> Iterator[tuple[Observation, Callable[[], bytes | None]]]:
        """Every observation of a side, each with what gives its picture."""
        if side.table is not None and self.rows_of is not None:
            for one in observe_rows(side.table, self.spoke, self.rows_of(side.table), self.labels):
                yield one, partial(_shown, None, None)
            return
        for taken in side.taken():
            if taken.observation is not None:
                yield taken.observation, partial(_shown, taken.read, None)
                continue
            assert taken.read is not None
            image = taken.read()
            found = self._found(image, taken)
            if self.watch is not None:
                self.watch(Detections.empty() if found is None else found)
            one = observe_frame(
                image, found, request=taken.request, seconds=taken.seconds, model=self.spoke, source=taken.source
            )
            yield one, partial(_shown, partial(_same, image), found)

    def _found(self, image: Image, taken: Taken) -> Detections | None:
        if self.detector_of is None:
            return None
        size = image.shape[0], image.shape[1]
        if size not in self._detectors:
            self._detectors[size] = self.detector_of(size)
        detector = self._detectors[size]
        batch = detector.buffer(1)
        fits = detector.fill(batch, [Frame(0, taken.seconds, image, taken.source)])
        return detector.read(detector.predict(batch), fits)[0]


def side_of(spec: str, split: str | None, target: str | None) -> Side:
    """What a name stands for, but for videos."""
    path = Path(spec)
    if is_observations(path):
        return of_observations(path)
    if is_profile(path):
        raise InputError(f"{spec}: a profile stands for what is usual", "give it first: monitor PROFILE CURRENT")
    if is_table(path):
        whole = open_table(path)
        if target is not None and target not in whole.columns:
            raise InputError(f"--target {target}: {spec} has no such column", nearest(target, whole.columns))
        return of_table(replace(whole, target=target))
    return of_data(open_data(spec, split))


def match(told: Profile | None, before: Side | None, now: Side | None, artifact: Artifact | None) -> list[str]:
    """What must be known when the verdict is read; sides that cannot be held to each other are refused."""
    notes: list[str] = []
    if told is not None and artifact is None and told.model.sha256 and now is not None and (now.pictures or now.table):
        raise InputError(
            f"the profile is of what {told.model.name or 'a model'} found, and no model was given",
            "name it: --model MODEL",
        )
    if told is not None and artifact is not None and told.model.sha256 not in ("", artifact.sha256):
        notes.append(f"the profile is of another model than {artifact.path.name}: what differs may be the models")
    if artifact is not None and not any(side and (side.pictures or side.table) for side in (before, now)):
        notes.append(f"{artifact.path.name} was not asked: observations hold what a model said already")
    ordered = told.ordered if told is not None else before is not None and before.ordered
    if now is not None and now.ordered and not ordered:
        notes.append(
            "the reference has no order and what came has one: neighbouring frames are alike, so drift may only mean "
            "that this is one place of many; make the reference from the same cameras"
        )
    return notes


def of_table(table: Table) -> Side:
    """The rows of a table, which hang together with nothing."""

    def rows() -> Iterator[Taken]:
        for one in observe_rows(table):
            yield Taken(one.request, one.seconds, table.name, observation=one)

    return Side(table.name, f"table, {len(table):,} rows", False, rows, table.sha256, False, table, count=len(table))


def of_data(data: DataSet) -> Side:
    """The pictures of a data set: in order where they are the frames of videos."""

    def pictures() -> Iterator[Taken]:
        for number, sample in enumerate(data):
            seconds = sample.traits.get("seconds", float(number))
            yield Taken(sample.name, float(seconds), "", sample.read)

    about = f"{data.format}, {len(data):,} pictures"
    return Side(data.name, about, data.task == "track", pictures, data.sha256, labels=data.labels, count=len(data))


def of_observations(path: Path) -> Side:
    """What an observer kept."""

    def kept() -> Iterator[Taken]:
        for one in read_observations(path):
            place = Path(one.picture) if one.picture else None
            read = partial(read_picture, place) if place is not None and is_picture_file(place) else None
            yield Taken(one.request, one.seconds, one.source, read, one)

    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    whole = hashlib.sha256("".join(map(digest, files)).encode()).hexdigest()
    return Side(path.name, f"observations in {len(files)} files", True, kept, whole, False)


def pictures_of(side: Side, requests: set[str]) -> dict[str, bytes]:
    """The pictures of these, as files to be labelled, from going through the side once more."""
    kept: dict[str, bytes] = {}
    for taken in side.taken() if requests else ():
        if taken.request in requests and (picture := packed(taken.read)) is not None:
            kept[taken.request] = picture
    return kept


def packed(read: Callable[[], Image] | None) -> bytes | None:
    """A picture as a file to be labelled: as it is, without anything drawn into it."""
    return None if read is None else jpeg(read(), quality=95)


def _same(image: Image) -> Image:
    return image


def _shown(read: Callable[[], Image] | None, found: Detections | None) -> bytes | None:
    """A small picture with what was found in it."""
    import cv2

    if read is None:
        return None
    image = read()
    scale = min(1.0, _WIDE / image.shape[1])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    if found is not None:
        boxes = Detections(
            found.xyxy * np.float32(scale), found.confidence, found.class_id, data=found.data, labels=found.labels
        )
        small = annotate(small, boxes)
    return jpeg(small)

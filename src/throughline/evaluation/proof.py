"""Both models over the same inputs, once: raw answers compared as they come, decoded ones kept.

Each model sees a picture the way its own passport says, as it will at work. Where that makes the same tensor for
both, which is the rule, one pass of each serves every check.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, final

from throughline.contracts.artifacts import Array, Artifact, Predictor, Step
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError, ThroughlineError
from throughline.contracts.frames import Frame
from throughline.contracts.samples import DataSet, Sample
from throughline.contracts.verdicts import Check
from throughline.evaluation.axes import as_batch, axes_checks, grown, short
from throughline.evaluation.interfaces import (
    Feed,
    Model,
    by_name,
    in_order,
    ranked_outputs,
    renamed,
    row_by_row,
    rows_of,
    with_inputs,
)
from throughline.evaluation.matched import Agreement, MatchedOutputs, Matching
from throughline.evaluation.metadata import RELEARNING, recorded_steps
from throughline.evaluation.numeric import NumericDifference, OutputError, Tolerance
from throughline.evaluation.seeded import natural_pictures, seeded_arrays
from throughline.models.overflow import LARGEST, overflows
from throughline.vision.detector import USUAL_SIZE, Detector, detector_for, input_size
from throughline.vision.letterbox import Letterbox
from throughline.vision.preprocess import PLAIN

KEPT: Final = 4
"""So many inputs are kept to be fed as one batch."""
_WORST: Final = 4
_CLASSIFIERS: Final = ("classify", "yolo_cls")
_EVERYTHING: Final = 0.001
"""From which confidence on average precision wants to know of boxes."""


@final
@dataclass(frozen=True, slots=True)
class Worst:
    """A picture of which the two say different things.

    Attributes:
        sample: the picture.
        disagreement: from 0, all the same, to 1, nothing.
    """

    sample: Sample
    disagreement: float
    reference: Detections
    candidate: Detections


@final
@dataclass(frozen=True, slots=True)
class Answers:
    """What came of the pass.

    Attributes:
        inputs: what was shown, in words.
        checks: on batches, on open axes, and on what could not be compared at all.
        found: what both found in each picture, where a decoder reads their outputs.
        feeds: a few of the inputs, as they were fed to the reference.
        batch: several of them as one batch.
        larger: one of them with every side larger that the candidate leaves open.
        seconds: where the time went: "reference", "candidate" and "all".
    """

    inputs: str
    outputs: tuple[OutputError, ...]
    checks: tuple[Check, ...]
    matched: MatchedOutputs | None
    found: tuple[list[Detections], list[Detections]] | None
    feeds: tuple[Feed, ...]
    batch: tuple[Feed, ...]
    larger: tuple[Feed, ...]
    worst: tuple[Worst, ...]
    notes: tuple[str, ...]
    seconds: Mapping[str, float]


def compare_answers(
    reference: Model,
    candidate: Model,
    *,
    data: DataSet | None,
    arrays: Mapping[str, Array] | None,
    tolerance: Tolerance,
    agreement: Agreement,
    decoder: str | None = None,
    steps: Sequence[Step] = (),
    conf: float = 0.25,
    iou: float = 0.7,
    halves: bool = False,
) -> Answers:
    """Run both over all inputs.

    Args:
        reference: the model that is right, opened.
        candidate: the model to be proven, opened.
        data: pictures; seeded inputs where neither these nor arrays are given.
        arrays: or named inputs.
        tolerance: what raw outputs may differ by.
        agreement: what decoded ones may.
        decoder: how outputs are read, where the passports do not say.
        steps: what was done between the two, beyond what the candidate's passport says.
        conf: from which confidence on an object counts.
        iou: two boxes that overlap more are one object.
        halves: the candidate is a graph of halves, which must not overflow on a processor that computes in halves.

    Raises:
        InputError: the data do not go with the models.
    """
    reference = with_inputs(*reference, candidate[0])
    comparison = _Comparison(reference, candidate, tolerance, agreement, decoder, steps, conf, iou, halves)
    if arrays is not None:
        return comparison.over_arrays(arrays, f"{rows_of(arrays)} rows of the arrays given")
    if comparison.takes_pictures:
        if data is not None:
            return comparison.over_pictures(data, f"{len(data)} pictures of {data.name}")
        data = natural_pictures(comparison.usual_size)
        told = f"{len(data)} seeded pictures with a natural spectrum, since no data were given"
        return comparison.over_pictures(data, told)
    if data is not None:
        raise InputError(
            f"{reference[0].path} takes {', '.join(map(str, reference[0].inputs))}, which no picture fills",
            "give named arrays: --data inputs.npz",
        )
    arrays = seeded_arrays(reference[0])
    return comparison.over_arrays(arrays, f"{rows_of(arrays)} seeded rows, since no data were given")


class CandidateFailed(Exception):
    """The candidate does not take what its reference takes."""


@final
@dataclass
class _Comparison:
    reference: Model
    candidate: Model
    tolerance: Tolerance
    agreement: Agreement
    decoder: str | None
    steps: Sequence[Step]
    conf: float
    iou: float
    halves: bool
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"reference": 0.0, "candidate": 0.0})
    kept: list[tuple[Feed, Feed, Mapping[str, Array], Mapping[str, Array]]] = field(default_factory=list)
    numeric: list[NumericDifference] | None = None
    comparable: bool = True

    @property
    def takes_pictures(self) -> bool:
        """Whether both take pictures; and whatever else they take, a decoder knows what that is."""
        for artifact, predictor in (self.reference, self.candidate):
            try:
                input_size(artifact)
                self._eye(artifact, predictor, None)
            except InputError:
                return False
        return True

    @property
    def usual_size(self) -> tuple[int, int]:
        """Height and width of the pictures that the models are made for."""
        for artifact, _ in (self.candidate, self.reference):
            if (size := input_size(artifact) or artifact.passport.imgsz) is not None:
                return size
        return 256, 256

    def over_pictures(self, data: DataSet, told: str) -> Answers:
        """Every picture through both, as each wants to see it."""
        started = time.monotonic()
        families = [self.decoder or artifact.passport.decoder for artifact, _ in (self.reference, self.candidate)]
        decodes = all(families)
        if not decodes:
            self.notes.append("outputs were not matched: no decoder is known that reads them (--decoder)")
        matching = Matching(self.conf, self.agreement)
        found: tuple[list[Detections], list[Detections]] = ([], [])
        worst: list[tuple[float, int, Worst]] = []
        eyes: dict[tuple[int, int], tuple[Detector, Detector]] = {}
        labelled = any(sample.truth is not None for sample in data)
        least = self._least(labelled, families)
        try:
            for number, sample in enumerate(data):
                image = sample.read()
                frame = Frame(number, 0.0, image, sample.name)
                size = (image.shape[0], image.shape[1])
                if size not in eyes:
                    eyes[size] = self._eyes(size, least)
                answered = self._one(frame, *eyes[size])
                if not decodes:
                    continue
                for one, outcome in zip(found, answered, strict=True):
                    one.append(outcome)
                apart = matching.add(*answered)
                if apart > 0:
                    heapq.heappush(worst, (apart, -number, Worst(sample, apart, *answered)))
                    if len(worst) > _WORST:
                        heapq.heappop(worst)
        except CandidateFailed as failed:
            self.checks.append(Check("runs", str(failed), "what the reference runs", False))
        matched = matching.done() if decodes and found[0] else None
        if matched is not None and not any(matched.objects) and matched.top1_by_number is None:
            self.notes.append(f"neither found an object surer than {self.conf:g}: there was nothing to match")
        whole = len(found[0]) == len(found[1]) == len(data)
        self._open_axes()
        return self._answers(
            told, started, matched, found if decodes and whole else None, [one for _, _, one in sorted(worst)[::-1]]
        )

    def over_arrays(self, arrays: Mapping[str, Array], told: str) -> Answers:
        """Every row of the arrays through both."""
        started = time.monotonic()
        (_, one), (_, other) = self.reference, self.candidate
        names = renamed(one.inputs, other.inputs)
        try:
            for feed in row_by_row(arrays, one.inputs):
                here = {name: feed[name].astype(spec.dtype, copy=False) for name, spec in by_name(one.inputs).items()}
                there = {
                    name: feed[names[name]].astype(spec.dtype, copy=False)
                    for name, spec in by_name(other.inputs).items()
                }
                self._raw(here, there)
        except CandidateFailed as failed:
            self.checks.append(Check("runs", str(failed), "what the reference runs", False))
        self._open_axes()
        return self._answers(told, started, None, None, [])

    def _answers(
        self,
        told: str,
        started: float,
        matched: MatchedOutputs | None,
        found: tuple[list[Detections], list[Detections]] | None,
        worst: list[Worst],
    ) -> Answers:
        self.seconds["all"] = time.monotonic() - started
        outputs = tuple(one.done() for one in self.numeric or ())
        for output in outputs:
            if output.ranked:
                self.notes.append(f"'{output.name}' is in the order of scores: it is compared as matched outputs")
        return Answers(
            told,
            outputs,
            tuple(self.checks),
            matched,
            found,
            feeds=tuple(feed for feed, *_ in self.kept),
            batch=as_batch(self.kept, self.reference[1]),
            larger=grown(self.kept, 0, self.reference, self.candidate) if self.kept else (),
            worst=tuple(worst),
            notes=tuple(self.notes),
            seconds=self.seconds,
        )

    def _least(self, labelled: bool, families: Sequence[str | None]) -> float:
        """From which confidence on boxes are read: a metric wants all, and a graph may have cut some off itself."""
        if all(family in _CLASSIFIERS for family in families):
            return 0.0
        least = _EVERYTHING if labelled else max(_EVERYTHING, self.conf - 2 * self.agreement.slack)
        done = recorded_steps(self.reference[0], self.candidate[0], self.steps)
        cut = [float(step.options["conf"]) for step in done if step.name == "nms" and "conf" in step.options]
        return max([least, *cut])

    def _eyes(self, size: tuple[int, int], least: float) -> tuple[Detector, Detector]:
        """Both, ready for pictures of one size; on the same canvas where their axes allow it."""
        (first, one), (second, other) = self.reference, self.candidate
        mine, its = (self._eye(*model, size, least) for model in ((first, one), (second, other)))
        if mine.canvas != its.canvas:
            if input_size(first) is None:
                mine = replace(mine, canvas=its.canvas)
            elif input_size(second) is None:
                its = replace(its, canvas=mine.canvas)
        return mine, its

    def _eye(
        self, artifact: Artifact, predictor: Predictor, size: tuple[int, int] | None, least: float = 0.25
    ) -> Detector:
        family = self.decoder or artifact.passport.decoder
        if family is not None:
            most = 50 if family in _CLASSIFIERS else 300
            return detector_for(artifact, predictor, decoder=family, frame=size, conf=least, iou=self.iou, max_det=most)
        fixed = input_size(artifact)
        usual = artifact.passport.imgsz or (USUAL_SIZE, USUAL_SIZE)
        return Detector(predictor, _unread, fixed or usual, artifact.labels, preprocess=PLAIN)

    def _one(self, frame: Frame, mine: Detector, its: Detector) -> tuple[Detections, Detections]:
        """One picture through both."""
        batch = mine.buffer(1)
        fits = mine.fill(batch, [frame])
        alike = mine.preprocess == its.preprocess and mine.canvas == its.canvas
        if alike:
            outputs = self._raw(mine.inputs_for(batch), its.inputs_for(batch))
            return self._read(mine, outputs[0], fits), self._read(its, outputs[1], fits)
        own = its.buffer(1)
        own_fits = its.fill(own, [frame])
        if mine.canvas == its.canvas and len(self.kept) < KEPT:
            here, _ = self._raw(mine.inputs_for(batch), its.inputs_for(batch))
        else:
            here = self._run(0, mine.inputs_for(batch))
        there = self._run(1, its.inputs_for(own))
        return self._read(mine, here, fits), self._read(its, there, own_fits)

    def _read(self, eye: Detector, outputs: Mapping[str, Array], fits: Sequence[Letterbox]) -> Detections:
        try:
            return eye.read(outputs, fits)[0]
        except InputError as error:
            if eye.predictor is self.reference[1]:
                raise
            raise CandidateFailed(f"its outputs cannot be decoded: {error.problem}") from None

    def _run(self, which: int, feed: Feed) -> dict[str, Array]:
        """One model on one feed, by the clock."""
        started = time.monotonic()
        try:
            return (self.reference, self.candidate)[which][1].predict(feed)
        except ThroughlineError as error:
            if which == 0:
                raise
            raise CandidateFailed(short(error)) from None
        finally:
            self.seconds[("reference", "candidate")[which]] += time.monotonic() - started

    def _raw(self, here: Feed, there: Feed) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
        """Both on the same values; their raw answers are compared."""
        one, other = self._run(0, here), self._run(1, there)
        if self.numeric is None:
            self.numeric = self._started(one, other)
        if self.comparable:
            paired = in_order(one, other)
            for difference, name in zip(self.numeric, one, strict=True):
                difference.add(one[name], paired[name])
        if len(self.kept) < KEPT:
            self.kept.append(
                ({k: v.copy() for k, v in here.items()}, {k: v.copy() for k, v in there.items()}, one, other)
            )
        return one, other

    def _started(self, one: Mapping[str, Array], other: Mapping[str, Array]) -> list[NumericDifference]:
        for step in recorded_steps(self.reference[0], self.candidate[0], self.steps):
            if step.name == "nms" or step.name in RELEARNING:
                self.comparable = False
                why = "replaces them" if step.name == "nms" else "changes the weights"
                self.notes.append(f"raw outputs were not compared: a recorded step ({step.name}) {why}")
                return []
        if len(one) != len(other):
            self.comparable = False
            self.checks.append(Check("numeric: outputs", f"{len(other)}", f"{len(one)}", False))
            return []
        ranked = ranked_outputs(self.reference[0]) | ranked_outputs(self.candidate[0])
        return [NumericDifference(name, self.tolerance, name in ranked) for name in one]

    def _open_axes(self) -> None:
        if self.kept and self.comparable:
            checks, notes = axes_checks(self.reference, self.candidate, self.kept, self.tolerance, self.numeric or ())
            self.checks += checks
            self.notes += notes
        if self.kept and self.comparable and self.halves and self.candidate[0].format == "onnx":
            self.checks.append(_overflow(self.candidate[0].path, [feed for _, feed, *_ in self.kept]))


def _overflow(path: Path, feeds: Sequence[Feed]) -> Check:
    name = f"float16: results beyond {LARGEST:g}"
    try:
        found = overflows(path, feeds)
    except ThroughlineError as error:
        return Check(name, error.problem, 0, False)
    if not found:
        return Check(name, 0, 0, True)
    first = found[0]
    return Check(
        name, f"{len(found)}, first of '{first.layer}' ({first.op}), which reaches {first.reaches:.3g}", 0, False
    )


def _unread(*_: object, **__: object) -> list[Detections]:
    return [Detections.empty()]

"""Everything that is to be said of a model's answers on a data set, each figure with its interval.

All figures of one task come from the same draws of pictures, worked out together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.samples import Sample
from throughline.evaluation.average_precision import AveragePrecision, over_classes
from throughline.evaluation.classes import Choices, Stretch, class_scores
from throughline.evaluation.masks import mask_areas, mask_overlaps, regions
from throughline.evaluation.matching import SIZES, Flags, Matches, match
from throughline.evaluation.mistakes import Confusion, confused_boxes, confused_classes
from throughline.evaluation.resampling import Resampling, videos_of
from throughline.evaluation.slices import (
    LIGHT,
    Fairness,
    Slicing,
    fairness,
    gap_between,
    slice_pictures,
    values_of,
)
from throughline.evaluation.tally import AccuracyTally, BoxTally, RegionTally, Tally
from throughline.stats.bootstrap import RESAMPLES, Counts, Floats, Interval

CLASS: Final = "class"
SIZE: Final = "size"


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class: how many there are, and its figures by name."""

    name: str
    objects: int
    figures: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured.

    Attributes:
        task: "detect", "segment" or "classify".
        figures: the task's figures by name, the one that counts first.
        classes: the same for each class.
        slicings: the main figure by class, by size and by every trait that was asked for.
        fairness: how differently groups are treated, for every trait of a classifier's pictures.
        confusion: what was taken for what.
        curves: recall and precision at half an overlap, by class, those with the most objects first.
        reliability: how right a classifier is when it is how sure.
        notes: what is to be known when the figures are read.
    """

    task: str
    figures: Mapping[str, Interval]
    classes: tuple[ClassRow, ...]
    slicings: tuple[Slicing, ...]
    fairness: tuple[Fairness, ...]
    confusion: Confusion
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    reliability: tuple[Stretch, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def main(self) -> str:
        """The figure that counts."""
        return next(iter(self.figures))

    @property
    def worst_gap(self) -> Slicing | None:
        """Of the splits by pictures and by size, the widest gap; by class where there is no other."""
        known = [one for one in self.slicings if one.worst and one.best != one.worst]
        others = [one for one in known if one.trait != CLASS]
        return max(others or known, key=lambda one: one.gap.value, default=None)


def measure(
    task: str,
    found: Sequence[Detections],
    truth: Sequence[Detections],
    samples: Sequence[Sample],
    light: Sequence[str],
    slices: Sequence[str] = (),
    *,
    resamples: int = RESAMPLES,
) -> Measured:
    """Measure everything.

    Args:
        task: "detect", "segment" or "classify".
        found: what the model says of each picture.
        truth: what is really on each.
        samples: the pictures, for their traits.
        light: how bright each is.
        slices: traits to split them by; "class" and "size" are always there where they apply.
        resamples: how many draws the intervals rest on.
    """
    by_trait = {
        trait: list(light) if trait == LIGHT else values_of(samples, trait)
        for trait in traits_of(samples, slices, task)
    }
    groups, notes = videos_of(samples)
    draw = Resampling(len(truth), resamples, groups)
    if task == "classify":
        return _classified(found, truth, by_trait, draw, notes)
    return _found(task, found, truth, by_trait, draw, notes)


def traits_of(samples: Sequence[Sample], slices: Sequence[str], task: str) -> list[str]:
    """The traits that pictures are split by; an ``InputError`` where one cannot be."""
    if SIZE in slices and task == "classify":
        raise InputError(f"--slices {SIZE}: whole pictures have no object size", "leave it away")
    traits = [trait for trait in dict.fromkeys(slices) if trait not in (CLASS, SIZE)]
    for trait in traits:
        if trait != LIGHT:
            values_of(samples, trait)
    return traits


def _found(
    task: str,
    found: Sequence[Detections],
    truth: Sequence[Detections],
    by_trait: Mapping[str, Sequence[str]],
    draw: Resampling,
    notes: list[str],
) -> Measured:
    boxes = match(found, truth, sizes=SIZES)
    kinds = {"box ": boxes} if task == "detect" else {"mask ": match(
        found, truth, sizes=SIZES, shared=mask_overlaps, areas=mask_areas
    ), "box ": boxes}  # fmt: skip
    figures: dict[str, Interval] = {}
    rows: dict[str, dict[str, Interval]] = {name: {} for name in boxes.names.values()}
    main: Tally = BoxTally(boxes)
    slicings = []
    if task == "segment":
        main = RegionTally(regions(found, truth))
        value, drawn = draw.of(main.values)
        figures["mIoU"] = draw.interval(float(value[0]), drawn[0])
    for kind, matches in kinds.items():
        prefix = "" if task == "detect" else kind
        precision = AveragePrecision(matches)
        once, drawn = draw.of(partial(_figures, precision))
        figures[f"{prefix}mAP50-95"] = draw.interval(float(once[0]), drawn[0])
        figures[f"{prefix}mAP50"] = draw.interval(float(once[1]), drawn[1])
        kinds_of = precision.classes
        names = [matches.names[number] for number in kinds_of]
        for at, name in enumerate(names):
            for shift, metric in ((2, "AP50-95"), (2 + len(names), "AP50")):
                rows[name][f"{prefix}{metric}"] = draw.interval(
                    float(once[shift + at]), drawn[shift + at], _pictures(matches, matches.object_kind == kinds_of[at])
                )
        if matches is next(iter(kinds.values())):
            metric = f"{prefix}AP50-95"
            of_class = {name: rows[name][metric] for name in names}
            slicings.append(gap_between(CLASS, metric, of_class, {n: drawn[2 + at] for at, n in enumerate(names)}))
            slicings.append(_by_size(matches, f"{prefix}mAP50-95", draw))
            curves = _curves(matches, precision)
    slicings += [slice_pictures(main, trait, values, resamples=draw.resamples) for trait, values in by_trait.items()]
    count = {boxes.names[kind]: int((boxes.object_kind == kind).sum()) for kind in boxes.names}
    return Measured(
        task,
        figures,
        tuple(ClassRow(name, count[name], row) for name, row in rows.items()),
        tuple(slicings),
        (),
        confused_boxes(found, truth),
        curves,
        notes=tuple(notes),
    )


def _pictures(matches: Matches, objects: Flags) -> int:
    """How many pictures these objects are on."""
    return len(np.unique(matches.object_frame[objects]))


def _figures(precision: AveragePrecision, counts: Counts) -> Floats:
    """mAP50-95, mAP50, then both for each class: figures x draws."""
    scores = precision.of(counts)
    mean, half = scores.mean(axis=1), scores[:, 0]
    return np.concatenate([over_classes(mean)[None], over_classes(half)[None], mean, half])


def _by_size(matches: Matches, metric: str, draw: Resampling) -> Slicing:
    figures, drawn = {}, {}
    for size in SIZES:
        if size != "all":
            precision = AveragePrecision(matches, size)
            once, several = draw.of(precision.mean)
            pictures = _pictures(matches, matches.of_size(size))
            figures[size], drawn[size] = draw.interval(float(once[0]), several[0], pictures), several[0]
    return gap_between(SIZE, metric, figures, drawn)


def _curves(matches: Matches, precision: AveragePrecision) -> dict[str, list[tuple[float, float]]]:
    """Of the classes with the most objects; thinned where there are more points than a drawing can show."""
    count = {kind: int((matches.object_kind == kind).sum()) for kind in precision.classes}
    curves = {}
    for kind in sorted(count, key=lambda one: -count[one])[:8]:
        recall, exact, _ = precision.curve(kind)
        best = np.maximum.accumulate(exact[::-1])[::-1]
        rows = np.unique(np.linspace(0, len(recall) - 1, min(200, len(recall))).astype(int)).tolist()
        curves[matches.names[kind]] = [(float(recall[row]), float(best[row])) for row in rows]
    return curves


def _classified(
    found: Sequence[Detections],
    truth: Sequence[Detections],
    by_trait: Mapping[str, Sequence[str]],
    draw: Resampling,
    notes: list[str],
) -> Measured:
    choices = Choices.of(found, truth)
    scores = class_scores(choices)
    counted = AccuracyTally(choices.right)

    def values(counts: Counts) -> Floats:
        precision, recall, f1 = choices.of_classes(counts)
        whole = [counted.values(counts), over_classes(recall), over_classes(f1)]
        return np.concatenate([np.stack(whole), precision, recall, f1])

    once, drawn = draw.of(values)
    names, many = list(choices.names.values()), len(choices.names)
    shown = [scores.classes[name].pictures for name in names]
    claimed = [int((choices.said == kind).sum()) for kind in choices.names]
    intervals = [
        draw.interval(float(value), several, pictures, share)
        for value, several, pictures, share in zip(
            once,
            drawn,
            [len(truth)] * 3 + claimed + shown + shown,
            [True, False, False] + [True] * 2 * many + [False] * many,
            strict=True,
        )
    ]
    figures = dict(zip(("accuracy", "balanced accuracy", "macro F1"), intervals, strict=False))
    nothing = float("nan")
    figures["calibration error"] = Interval(scores.calibration_error, nothing, nothing, nothing, draw.samples)
    classes = [
        ClassRow(
            name,
            scores.classes[name].pictures,
            {metric: intervals[3 + at + shift * many] for shift, metric in enumerate(("precision", "recall", "F1"))},
        )
        for at, name in enumerate(names)
    ]
    recalls = {row.name: row.figures["recall"] for row in classes if row.objects}
    of_class = {name: drawn[3 + many + at] for at, name in enumerate(names)}
    slicings = [gap_between(CLASS, "recall", recalls, of_class)]
    slicings += [
        slice_pictures(counted, trait, values_, resamples=draw.resamples) for trait, values_ in by_trait.items()
    ]
    fair = [
        fairness(choices, trait, values_)
        for trait, values_ in by_trait.items()
        if trait != LIGHT and len(set(values_)) > 1
    ]
    confusion = confused_classes(choices)
    return Measured(
        "classify",
        figures,
        tuple(classes),
        tuple(slicings),
        tuple(fair),
        confusion,
        {},
        scores.reliability,
        tuple(notes),
    )

"""What ``throughline inspect`` says of a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from throughline.data.checks import objects_of, survey
from throughline.data.formats import FORMATS, WHOLE, Split
from throughline.data.lock import lock_of_survey, standing
from throughline.data.opening import Picture, hash_of, task_of
from throughline.data.problems import Problem, Problems
from throughline.data.tracked import versions
from throughline.terminal import fields

_SHOWN = 20
_MANY = frozenset({"class without objects"})
"""What a small set from a large family has dozens of, and nobody needs to read first."""
_MOST_LABELS, _A_LINE = 100, 8


@dataclass(frozen=True, slots=True)
class SplitInspection:
    """One split of a data set.

    Attributes:
        pictures: how many can be read.
        background: how many of them have nothing on them.
        labels: the classes, each with how many objects of it there are.
        smallest: the least height and the least width.
        largest: the greatest height and the greatest width.
    """

    name: str
    task: str | None
    pictures: int
    objects: int
    background: int
    labels: tuple[tuple[str, int], ...]
    smallest: tuple[int, int]
    largest: tuple[int, int]
    sha256: str


@dataclass(frozen=True, slots=True)
class DataInspection:
    """What ``inspect`` found in a data set.

    Attributes:
        labels: the classes, each with how many objects of it there are; a picture in two splits counts once.
        traits: what else is known of the pictures, for slicing.
        lock: where they stand against their ``data.lock``.
        tracked: the versions that DVC keeps of them.
    """

    path: Path
    name: str
    format: str
    task: str | None
    splits: tuple[SplitInspection, ...]
    labels: tuple[tuple[str, int], ...]
    traits: tuple[str, ...]
    lock: str
    tracked: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def exit_code(self) -> int:
        """2 where something must be mended before the data can be used."""
        return 2 if any(problem.severe for problem in self.problems) else 0

    def __str__(self) -> str:
        several = len(self.splits) > 1
        return fields(
            [
                ("data", str(self.path)),
                ("format", f"{self.format} ({FORMATS.get(self.format).summary})"),
                ("task", self.task or "none: nobody has said what is on these pictures"),
                ("splits", "\n".join(map(_split, self.splits))),
                ("labels", _labels(self.labels)),
                ("sizes", _sizes(self.splits)),
                ("traits", ", ".join(self.traits)),
                ("sha256", "\n".join(one.sha256 + (f" ({one.name})" if several else "") for one in self.splits)),
                ("lock", self.lock),
                ("tracked", "\n".join(self.tracked)),
                ("problems", told(self.problems)),
            ]
        )


def inspect_data(spec: str | Path, lock: bool = False) -> DataInspection:
    """Look at all of a data set, and say what is there and what is wrong; ``lock`` writes its data.lock."""
    seen = survey(spec)
    problems = Problems(dict.fromkeys(seen.problems))
    place = Path(spec)
    stands = standing(place, partial(lock_of_survey, seen, place), problems, lock)
    splits = tuple(_of(name, split, pictures) for name, (split, pictures) in seen.splits.items())
    totals: dict[str, int] = {}
    counted: set[Path] = set()
    for split, pictures in seen.splits.values():
        new = [picture for picture in pictures if picture.entry.path not in counted]
        counted.update(picture.entry.path for picture in new)
        for label, count in zip(split.labels, objects_of(split, new).tolist(), strict=True):
            totals[label] = totals.get(label, 0) + count
    traits = {trait for _, pictures in seen.splits.values() for picture in pictures for trait in picture.traits}
    return DataInspection(
        path=Path(spec),
        name=seen.index.name,
        format=seen.format,
        task=next((one.task for one in splits if one.task), None),
        splits=splits,
        labels=tuple(totals.items()),
        traits=tuple(sorted(traits)),
        lock=stands,
        tracked=versions(place.parent if place.is_file() else place, problems),
        problems=tuple(problems.found),
    )


def _of(name: str, split: Split, pictures: Sequence[Picture]) -> SplitInspection:
    counts = objects_of(split, pictures).tolist()
    sizes = np.array([picture.look.size for picture in pictures], np.int64).reshape(-1, 2)
    least, most = (sizes.min(axis=0).tolist(), sizes.max(axis=0).tolist()) if len(sizes) else ((0, 0), (0, 0))
    return SplitInspection(
        name=name,
        task=task_of(split, pictures),
        pictures=len(pictures),
        objects=sum(counts),
        background=sum(picture.marks is not None and not len(picture.marks.class_id) for picture in pictures),
        labels=tuple(zip(split.labels, counts, strict=True)),
        smallest=(least[0], least[1]),
        largest=(most[0], most[1]),
        sha256=hash_of(pictures, split.labels),
    )


def _split(one: SplitInspection) -> str:
    said = "pictures" if one.name == WHOLE else f"{one.name}: {one.pictures:,} pictures"
    said = f"{one.pictures:,} {said}" if one.name == WHOLE else said
    if one.task is None:
        return f"{said}, nothing said of them"
    if one.task == "classify":
        return said
    return f"{said}, {one.objects:,} objects" + (f", {one.background:,} without any" if one.background else "")


def _labels(labels: Sequence[tuple[str, int]]) -> str:
    if not labels:
        return ""
    said = [f"{label or '(no name)'} {count:,}" for label, count in labels[:_MOST_LABELS]]
    if len(labels) > _MOST_LABELS:
        said.append(f"and {len(labels) - _MOST_LABELS} more")
    lines = [", ".join(said[at : at + _A_LINE]) for at in range(0, len(said), _A_LINE)]
    return f"{len(labels)}: " + ",\n".join(lines)


def _sizes(splits: Sequence[SplitInspection]) -> str:
    known = [one for one in splits if one.pictures]
    if not known:
        return ""
    least = [min(one.smallest[side] for one in known) for side in (0, 1)]
    most = [max(one.largest[side] for one in known) for side in (0, 1)]
    if least == most:
        return f"{least[0]}x{least[1]} (height x width)"
    return f"{least[0]} to {most[0]} high, {least[1]} to {most[1]} wide"


def told(problems: Sequence[Problem]) -> str:
    """What is wrong, for people: the worst first, and not without end."""
    if not problems:
        return "none found"
    severe = [one for one in problems if one.severe]
    ordered = severe + sorted((one for one in problems if not one.severe), key=lambda one: one.kind in _MANY)
    lines = [f"{len(problems):,}, " + (f"of which {len(severe):,} must be mended" if severe else "none severe")]
    lines += [f"{'SEVERE' if one.severe else 'note  '}  {one.kind}  {one}" for one in ordered[:_SHOWN]]
    rest = Counter(one.kind for one in ordered[_SHOWN:])
    lines += [f"and {count:,} more of: {kind}" for kind, count in rest.items()]
    return "\n".join(lines)

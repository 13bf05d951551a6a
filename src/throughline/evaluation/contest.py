"""Two models, or several runs of each, asked about the same pictures or rows, each as its own passport says.

The two may differ in everything: format, input size, decoder, the order of their classes. What they
have in common is the data, and there their answers meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from throughline.contracts.artifacts import Artifact
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.samples import DataSet, Sample
from throughline.contracts.tables import Table
from throughline.evaluation.answers import answers, in_common
from throughline.evaluation.asking import answered, labelled, noting_light, task_of
from throughline.evaluation.comparison_parts import CLASS, Split
from throughline.evaluation.slices import LIGHT, named_parts, values_of
from throughline.evaluation.tabular import ask_rows, row_tallies, rows_for
from throughline.evaluation.tally import AccuracyTally, Tally, tally
from throughline.models.session import Session, open_model
from throughline.vision.detector import Detector, detector_for, input_size

Sides = tuple[Sequence[Artifact], Sequence[Artifact]]
Telling = Callable[[str, int], AbstractContextManager[Callable[[Detections], None]]]


@dataclass(frozen=True, slots=True)
class Opening:
    """How models are opened and asked.

    Attributes:
        backend: the runtime.
        device: where to run.
        threads: CPU threads; 0 is every core.
        trust: open programs that no passport vouches for.
        conf: the least confidence of a box that counts.
        iou: two boxes that overlap more are one object.
        imgsz: the longer side of inputs that are open.
    """

    backend: str = "auto"
    device: str = "auto"
    threads: int = 0
    trust: bool = False
    conf: float = 0.001
    iou: float = 0.7
    imgsz: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """Both sides, measured.

    Attributes:
        tallies: by metric, the one that decides first: the runs of the reference, and of the candidate.
        groups: what each sample belongs to; None where they stand alone.
        splits: how the samples are split.
        samples: the pictures; none of a table.
        truth: what is on each.
        found: what the first run of each side says of each.
        notes: what is to be known when the figures are read.
        ran_on: how each model ran.
    """

    tallies: Mapping[str, tuple[Sequence[Tally], Sequence[Tally]]]
    groups: Sequence[str] | None
    splits: Sequence[Split]
    samples: Sequence[Sample] = ()
    truth: Sequence[Detections] = ()
    found: tuple[Sequence[Detections], Sequence[Detections]] = ((), ())
    notes: Sequence[str] = ()
    ran_on: Mapping[str, str] = field(default_factory=dict)


def over_pictures(sides: Sides, whole: DataSet, how: Opening, slices: Sequence[str], telling: Telling) -> Contest:
    """Ask every model about every picture.

    Args:
        sides: the runs of the reference, and of the candidate.
        whole: the data.
        how: how models are opened.
        slices: traits of the pictures to split by.
        telling: who is told, for each model, of each answer as it comes.
    """
    notes: list[str] = []
    samples = labelled(whole, whole.name, notes)
    traits = [name for name in dict.fromkeys(slices) if name != CLASS]
    for name in traits:
        if name != LIGHT:
            values_of(samples, name)  # refused before a model runs
    tasks = [task_of(artifact, whole) for side in sides for artifact in side]
    task, light, ran_on = tasks[0], list[str](), dict[str, str]()
    said: tuple[list[list[Detections]], list[list[Detections]]] = ([], [])
    for side, answers_of in zip(sides, said, strict=True):
        for artifact in side:
            name = str(artifact.path)
            seen = list[str]()
            with telling(f"asking {artifact.path.name}", len(samples)) as watch:
                mine, ran_on[name] = _ask(artifact, noting_light(samples, seen), how, tasks[0] == "classify", watch)
            light = light or seen
            own: list[str] = []
            if answered(tasks[0], mine, own) != tasks[0]:
                task = "detect"
            answers_of.append(in_common(mine, artifact.labels, whole.labels, own))
            notes += [f"{artifact.path.name}: {note}" for note in own]
    truth = [sample.truth for sample in samples if sample.truth is not None]
    if task != tasks[0]:
        notes.append("both models were measured by their boxes")
    first, second = ([tally(task, found, truth) for found in side] for side in said)
    splits = [Split(name, light if name == LIGHT else values_of(samples, name)) for name in traits]
    if task == "classify":
        splits.insert(0, Split(CLASS, [one.name_of(int(one.class_id[0])) for one in truth]))
    groups = [sample.group or sample.name for sample in samples]
    return Contest(
        {first[0].metric: (first, second)}, groups, splits, samples, truth, (said[0][0], said[1][0]),
        list(dict.fromkeys(notes)), ran_on,
    )  # fmt: skip


def over_rows(sides: Sides, table: Table, how: Opening, slices: Sequence[str]) -> Contest:
    """Ask every model about every row of a table.

    Args:
        sides: the runs of the reference, and of the candidate.
        table: the data.
        how: how models are opened.
        slices: columns to split by.
    """
    if table.target is None:
        raise InputError(f"{table.name}: nobody has said which column is to be told", "name it: --target COLUMN")
    for name in slices:
        if name != CLASS and name not in table.columns:
            raise InputError(f"--slices {name}: {table.name} has no such column", f"it has {', '.join(table.columns)}")
    ran_on: dict[str, str] = {}
    measured: tuple[list[Mapping[str, Tally]], list[Mapping[str, Tally]]] = ([], [])
    for side, tallies in zip(sides, measured, strict=True):
        for artifact in side:
            with _opened(artifact, how) as session:
                tallies.append(row_tallies(table, artifact, ask_rows(session, rows_for(artifact, table))))
                ran_on[str(artifact.path)] = str(session)
    shared = [name for name in measured[0][0] if all(name in one for side in measured for one in side)]
    if not shared:
        raise InputError(
            f"one model is measured by {', '.join(measured[0][0])} and the other by {', '.join(measured[1][0])}",
            "compare models that tell the same thing",
        )
    splits = [Split(name, named_parts(table.columns[name].tolist())) for name in slices if name != CLASS]
    if isinstance(measured[0][0][shared[0]], AccuracyTally):
        splits.insert(0, Split(CLASS, [str(value) for value in table.columns[table.target].tolist()]))
    made = {name: ([one[name] for one in measured[0]], [one[name] for one in measured[1]]) for name in shared}
    return Contest(made, None, splits, ran_on=ran_on)


def _opened(artifact: Artifact, how: Opening) -> Session:
    return open_model(
        artifact.path, backend=how.backend, device=how.device, threads=how.threads or None, trust=how.trust
    )


def _ask(
    artifact: Artifact,
    samples: Iterator[Sample],
    how: Opening,
    whole_pictures: bool,
    watch: Callable[[Detections], None],
) -> tuple[list[Detections], str]:
    with _opened(artifact, how) as session:
        imgsz = how.imgsz if input_size(artifact) is None else None

        def detector(frame: tuple[int, int]) -> Detector:
            return detector_for(
                artifact,
                session,
                frame=frame,
                imgsz=imgsz,
                conf=0.0 if whole_pictures else how.conf,
                iou=how.iou,
            )

        return answers(detector, samples, watch=watch), str(session)

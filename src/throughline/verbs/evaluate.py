"""``throughline evaluate``: how good a model is on labelled data, how sure that is, and what it gets wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError, nearest
from throughline.contracts.frames import Frame
from throughline.contracts.samples import Sample
from throughline.data.reading import open_data
from throughline.evaluation.answers import answers, in_common
from throughline.evaluation.asking import answered, labelled, noting_light, task_of
from throughline.evaluation.evaluate_report import gap_said, write_report
from throughline.evaluation.measured import ClassRow, measure, traits_of
from throughline.evaluation.mistakes import CONF
from throughline.evaluation.slices import Fairness, Slicing
from throughline.evaluation.tracks import TrackScores, score_tracks
from throughline.files import writing
from throughline.models.artifact import read_artifact
from throughline.models.session import open_model
from throughline.stats.bootstrap import RESAMPLES, Interval
from throughline.terminal import fields, table
from throughline.video.progress import telling
from throughline.video.trackers import TRACKERS
from throughline.vision.detector import Detector, detector_for

_ROWS = 20


@dataclass(frozen=True, slots=True)
class EvaluateReport:
    """What ``evaluate`` found.

    Attributes:
        model: the model's file.
        data: what the data set is called.
        task: what was measured: detect, segment or classify.
        pictures: how many pictures.
        figures: the task's figures by name, the one that counts first.
        classes: the same for each class.
        slicings: the main figure by class, size and every trait that was asked for.
        fairness: how differently a classifier treats groups.
        worst_gap: of the splits, the one with the widest gap.
        tracks: how well objects were followed, for data that say who is who.
        report: the page.
        data_sha256: names the data.
        model_sha256: names the model.
        notes: what is to be known when the figures are read.
    """

    model: Path
    data: str
    task: str
    pictures: int
    figures: Mapping[str, Interval]
    classes: tuple[ClassRow, ...]
    slicings: tuple[Slicing, ...]
    fairness: tuple[Fairness, ...]
    worst_gap: Slicing | None
    tracks: TrackScores | None
    report: Path
    data_sha256: str
    model_sha256: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        parts = [
            table(("figure", "value", "95 % from", "to"), [(name, *_cells(one)) for name, one in self.figures.items()])
        ]
        metrics = list(dict.fromkeys(name for row in self.classes for name in row.figures))
        shown = sorted(self.classes, key=lambda row: _sorting(row.figures[metrics[0]]))
        head = (
            "class",
            "pictures" if self.task == "classify" else "objects",
            metrics[0] if metrics else "",
            "95 % from",
            "to",
        )
        rows = [(row.name, f"{row.objects:,}", *_cells(row.figures[metrics[0]])) for row in shown[:_ROWS]]
        parts += [table(head, rows)] if rows else []
        for split in self.slicings:
            if split.trait != "class":
                head = (split.trait, "pictures", split.metric, "95 % from", "to")
                cells = [(one.name, f"{one.figure.samples:,}", *_cells(one.figure)) for one in split.slices]
                parts.append(table(head, cells))
        parts.append(fields(self._said(len(shown) - len(rows))))
        return "\n\n".join(parts)

    def _said(self, left_off: int) -> list[tuple[str, str]]:
        fair = [
            f"{one.trait}: demographic parity {one.demographic_parity:.3f}, equalised odds {one.equalized_odds:.3f} "
            f"(class {one.kind}; 0 is alike)"
            for one in self.fairness
        ]
        return [
            ("tracks", ", ".join(f"{name} {value}" for name, value in _followed(self.tracks).items())),
            ("worst gap", gap_said(self.worst_gap) if self.worst_gap else ""),
            ("fairness", "\n".join(fair)),
            ("data", f"{self.data}, {self.pictures:,} pictures, sha256 {self.data_sha256}"),
            ("model", f"{self.model}, sha256 {self.model_sha256}"),
            ("report", str(self.report)),
            ("note", "\n".join([*self.notes, *([f"{left_off} better classes are in the report"] if left_off else [])])),
        ]


def evaluate(
    model: Path,
    /,
    *,
    data: str,
    split: str | None = None,
    slices: str | None = None,
    conf: float = 0.001,
    iou: float = 0.7,
    imgsz: int | None = None,
    decoder: str | None = None,
    tracker: str = "hybrid",
    backend: str = "auto",
    device: str = "auto",
    threads: int = 0,
    class_: str | None = None,
    trust: bool = False,
    out: Path | None = None,
) -> EvaluateReport:
    """Measure a model on labelled data: figures with 95 % intervals, for whom it is worse, and its worst mistakes.

    Args:
        model: The model: any file that ``run`` takes.
        data: Labelled data: a data.yaml, a COCO file, MOTChallenge sequences, or a folder of class folders.
        split: Which part of the data: train, val or test.
        slices: Also split it by these, with commas between: light, or any trait that the data has of its pictures.
        conf: The least confidence of a box that counts; average precision wants nearly all of them.
        iou: Two boxes that overlap more are one object.
        imgsz: The longer side of the model's input, where it is open.
        decoder: How the model's outputs are read, where its file does not say.
        tracker: What follows the objects of MOTChallenge data.
        backend: The runtime: auto, onnxruntime, openvino and so on.
        device: Where to run: auto, cpu, gpu or gpu:N.
        threads: CPU threads; 0 is every core.
        class_: What builds the network that a state dict belongs to (package.module:factory).
        trust: Open a model that is a program and that no passport of this machine vouches for.
        out: The folder of the report; runs/evaluate-MODEL when not given.
    """
    if not 0 <= conf < 1:
        raise InputError(f"--conf {conf:g}: it must be from 0 to 1", "leave it away: 0.001 suits average precision")
    artifact, whole = read_artifact(Path(model)), open_data(data, split)
    notes: list[str] = []
    samples = labelled(whole, data, notes)
    task = task_of(artifact, whole)
    if whole.task == "track" and tracker not in TRACKERS.names():
        raise InputError(f"--tracker {tracker}: there is no such tracker", nearest(tracker, TRACKERS.names()))
    asked = [name.strip() for name in (slices or "").split(",") if name.strip()]
    traits_of(samples, asked, task)
    light: list[str] = []
    folder = out or Path("runs") / f"evaluate-{artifact.path.stem}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    least = 0.0 if task == "classify" else conf
    with open_model(
        artifact.path, backend=backend, device=device, threads=threads or None, class_=class_, trust=trust
    ) as session:

        def detector(frame: tuple[int, int]) -> Detector:
            return detector_for(artifact, session, decoder=decoder, frame=frame, imgsz=imgsz, conf=least, iou=iou)

        with telling("evaluating", len(samples)) as watch:
            said = answers(detector, noting_light(samples, light), watch=watch)
        ran_on = str(session)
    task = answered(task, said, notes)
    found = in_common(said, artifact.labels, whole.labels, notes)
    truth = [sample.truth for sample in samples if sample.truth is not None]
    measured = measure(task, found, truth, samples, light, asked)
    tracks = _tracks(found, truth, samples, tracker) if whole.task == "track" else None
    measured = replace(measured, notes=(*notes, *measured.notes))
    main = measured.figures[measured.main]
    report = write_report(
        folder / "report.html",
        artifact.path.name,
        f"{measured.main} {main.value:.3f} (95 % interval from {main.low:.3f} to {main.high:.3f}) "
        f"on {len(samples):,} pictures of {whole.name}",
        measured,
        samples,
        _followed(tracks),
        {
            "data": f"{whole.name} ({whole.format}), {len(samples):,} pictures",
            "data sha256": whole.sha256,
            "model": str(artifact.path),
            "model sha256": artifact.sha256,
            "ran on": ran_on,
            "confidence from": f"{least:g}",
            "NMS overlap": f"{iou:g}",
            "intervals": f"from {RESAMPLES:,} draws of the pictures with replacement",
        },
    )
    return EvaluateReport(
        artifact.path, whole.name, task, len(samples), measured.figures, measured.classes, measured.slicings,
        measured.fairness, measured.worst_gap, tracks, report, whole.sha256, artifact.sha256, measured.notes,
    )  # fmt: skip


def _tracks(
    found: Sequence[Detections], truth: Sequence[Detections], samples: Sequence[Sample], tracker: str
) -> TrackScores:
    """Each video followed on its own; no two share an identity."""
    followed: list[Detections] = []
    real: list[Detections] = []
    shift = [0, 0]
    before, follower = None, None
    for number, (said, there, sample) in enumerate(zip(found, truth, samples, strict=True)):
        if follower is None or sample.group != before:
            follower, before, start = TRACKERS.make(tracker), sample.group, number
            shift = [
                max((int(ids.max()) + 1 for one in side if len(ids := _ids(one))), default=0)
                for side in (followed, real)
            ]
        seconds = float(sample.traits.get("seconds", (number - start) / 30))
        sure = said[said.confidence >= CONF]
        seen = follower.update(sure, Frame(number - start, seconds, sample.read(), sample.group))
        crowd = there.data.get("crowd", np.zeros(len(there), np.bool_))
        followed.append(_shifted(seen, shift[0]))
        real.append(_shifted(there[~crowd], shift[1]))
    return score_tracks(followed, real)


def _ids(one: Detections) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.empty(0, np.int64) if one.tracker_id is None else one.tracker_id


def _shifted(one: Detections, by: int) -> Detections:
    if one.tracker_id is None:
        return one
    return replace(one, tracker_id=np.where(one.tracker_id >= 0, one.tracker_id + by, -1), masks=None)


def _followed(tracks: TrackScores | None) -> dict[str, str]:
    if tracks is None:
        return {}
    return {
        "MOTA": f"{tracks.mota:.3f}", "IDF1": f"{tracks.idf1:.3f}", "HOTA": f"{tracks.hota:.3f}",
        "missed boxes": f"{tracks.misses:,} of {tracks.boxes:,}", "false alarms": f"{tracks.false_alarms:,}",
        "switches": f"{tracks.switches:,}", "identities": f"{tracks.tracks:,} for {tracks.objects:,} objects",
    }  # fmt: skip


def _cells(one: Interval) -> tuple[str, str, str]:
    known = not np.isnan(one.low)
    value = "" if np.isnan(one.value) else f"{one.value:.4f}"
    return value, f"{one.low:.4f}" if known else "", f"{one.high:.4f}" if known else ""


def _sorting(one: Interval) -> float:
    return 2.0 if np.isnan(one.value) else one.value

"""``throughline monitor``: whether what comes in is still what a model was made for, and what to label first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, MissingExtra, nearest
from throughline.contracts.frames import Frame, Image
from throughline.contracts.observations import Spoke
from throughline.contracts.tables import Table
from throughline.contracts.verdicts import Verdict
from throughline.data.tables import is_table
from throughline.evaluation.tabular import RowAnswers, ask_rows, rows_for
from throughline.files import writing
from throughline.models.artifact import read_artifact
from throughline.models.passport import digest
from throughline.models.session import open_model
from throughline.monitoring.detectors import DETECTORS
from throughline.monitoring.evidently_page import write_evidently
from throughline.monitoring.labelling_folder import LabellingList, new_folder, write_labelling
from throughline.monitoring.observation_files import is_observations
from throughline.monitoring.observing import labels_in
from throughline.monitoring.profile import SUFFIX, Profile, is_profile, profile_of, profile_path, read_profile
from throughline.monitoring.report import worst_of, write_report
from throughline.monitoring.sides import Eye, Side, Taken, match, pictures_of, side_of
from throughline.monitoring.watching import Watched, watched
from throughline.monitoring.windows import MISSING
from throughline.terminal import fields, table
from throughline.video.progress import telling
from throughline.video.sources import kind_of, open_sources
from throughline.vision.detector import Detector, detector_for

_LABEL = "label"
_PACE = 1.5
"""A window is as long in time as the reference's stretches are, up to this factor."""
_A_SECOND = 5
"""So many frames of a video are looked at in a second of it, where nobody has said."""


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """The worst window of one question: how far off, what it may be, the corrected p, and what came of it."""

    feature: str
    detector: str
    statistic: float
    threshold: float
    p: float
    drifted: bool


@dataclass(frozen=True, slots=True)
class MonitorReport:
    """What ``monitor`` found.

    Attributes:
        drifted: the features that changed.
        sentence: the same in a sentence.
        reference: what the present was held to.
        current: the present.
        windows: how many windows there were.
        news: in how many of them a feature was news.
        seen: how many observations there were.
        features: the worst window of every question.
        verdict: the last window's, in the shape that all judgements have; None where only a profile was written.
        profile: the reference's profile, as a file.
        report: the page; None where only a profile was written.
        evidently: Evidently's page beside it.
        labelling: the list of what to label first.
        notes: what is to be known when this is read.
    """

    drifted: tuple[str, ...]
    sentence: str
    reference: str
    current: str
    windows: int
    news: int
    seen: int
    features: tuple[FeatureReport, ...]
    verdict: Verdict | None
    profile: Path
    report: Path | None
    evidently: Path | None
    labelling: LabellingList | None
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 where everything is as usual; 5 where something drifted."""
        return 5 if self.drifted else 0

    def __str__(self) -> str:
        parts = []
        shown = [one for one in self.features if one.detector != MISSING or one.drifted]
        if shown:
            head = ("feature", "", "detector", "statistic", "threshold", "p (Holm)")
            rows = [
                (one.feature, _state(one, self.drifted), one.detector, _number(one.statistic), _number(one.threshold),
                 _p(one.p)) for one in shown
            ]  # fmt: skip
            parts.append(table(head, rows))
        first = self.labelling
        told = [
            ("reference", self.reference),
            ("current", self.current),
            ("windows", f"{self.windows:,}, of which {self.news:,} have news" if self.windows else ""),
            ("profile", str(self.profile)),
            ("report", str(self.report or "")),
            ("evidently", str(self.evidently or "")),
            ("label first", f"{first.table}: {first.rows:,}, {first.pictures:,} with pictures" if first else ""),
            ("note", "\n".join(self.notes)),
        ]
        return "\n\n".join([*parts, fields(told), self.sentence])


def monitor(
    reference: str,
    current: str | None = None,
    /,
    *,
    model: str | None = None,
    split: str | None = None,
    current_split: str | None = None,
    target: str | None = None,
    window: int | None = None,
    alpha: float = 0.01,
    detectors: str | None = None,
    label: int = 0,
    vid_stride: int = 0,
    conf: float = 0.25,
    iou: float = 0.7,
    imgsz: int | None = None,
    decoder: str | None = None,
    backend: str = "auto",
    device: str = "auto",
    threads: int = 0,
    trust: bool = False,
    out: Path | None = None,
) -> MonitorReport:
    """Whether what comes in is still like the reference: light, sharpness, what is found, every column of a table.

    Without CURRENT, only the reference's profile is written, which says the same as all its data: beside the model.
    Exits with 0 where everything is as usual, and with 5 where something drifted.

    Args:
        reference: What is usual: a profile, a data set, a video, a table, or a folder of kept observations.
        current: What came in: the same, but no profile.
        model: The model, asked about both sides. Without one, pictures or rows alone are compared.
        split: Which part of the reference's data set: train, val or test.
        current_split: Which part of the current data set.
        target: A column of the tables that is left out.
        window: Observations to a window; 60, or a tenth of a short reference. A set without order is one window.
        alpha: How many windows in which nothing is new may have news, as a share.
        detectors: With commas between: psi, ks, jensen_shannon, wasserstein, g_test, mmd, page_hinkley, adwin.
        label: List so many frames of the current side to label first, with their pictures.
        vid_stride: Look at one frame in so many of a video; 0 looks at five a second.
        conf: The least confidence of what counts as found.
        iou: Two boxes that overlap more are one object.
        imgsz: The longer side of the model's input, where it is open.
        decoder: How the model's outputs are read, where its file does not say.
        backend: The runtime: auto, onnxruntime, openvino and so on.
        device: Where to run: auto, cpu, gpu or gpu:N.
        threads: CPU threads; 0 is every core.
        trust: Open a model that is a program and that no passport of this machine vouches for.
        out: The folder of what is written; runs/monitor-REFERENCE-CURRENT when not given.
    """
    if label < 0 or vid_stride < 0:
        wrong = f"--label {label}" if label < 0 else f"--vid-stride {vid_stride}"
        raise InputError(f"{wrong}: it must be 0 or more", "leave it away, or give a count")
    chosen = [name.strip() for name in (detectors or "").split(",") if name.strip()]
    for name in chosen:
        if name not in DETECTORS.names():
            raise InputError(f"--detectors {name}: there is no such detector", nearest(name, DETECTORS.names()))
    artifact = read_artifact(model) if model else None
    told = read_profile(Path(reference)) if is_profile(Path(reference)) else None
    before = None if told else _side(reference, split, target, vid_stride)
    now = None if current is None else _side(current, current_split, target, vid_stride)
    if now is None and before is None:
        raise InputError(
            f"{reference}: this is a profile already", "give what came in as well: monitor PROFILE CURRENT"
        )
    notes = match(told, before, now, artifact)
    folder = out or Path("runs") / f"monitor-{_short(reference)}-{_short(current or 'profile')}"
    if label:
        new_folder(folder / _LABEL)
    with ExitStack() as stack:
        ask: Callable[[tuple[int, int]], Detector] | None = None
        ask_about: Callable[[Table], RowAnswers] | None = None
        if artifact is not None:
            session = stack.enter_context(
                open_model(artifact.path, backend=backend, device=device, threads=threads or None, trust=trust)
            )

            def ask(size: tuple[int, int]) -> Detector:
                return detector_for(artifact, session, decoder=decoder, frame=size, imgsz=imgsz, conf=conf, iou=iou)

            def ask_about(rows: Table) -> RowAnswers:
                return ask_rows(session, rows_for(artifact, rows))

        eye = Eye(ask, ask_about, () if artifact is None else artifact.labels, _spoke(artifact))
        kept = Path(reference)
        if before is not None:
            told = _profiled(eye, before)
            kept = _place(artifact, before, folder, out, alone=now is None)
            with writing(kept):
                kept.parent.mkdir(parents=True, exist_ok=True)
            told.write(kept)
        assert told is not None
        if now is None:
            says = f"{kept} says what is usual, from {told.seen:,} observations."
            return MonitorReport((), says, reference, "", 0, 0, told.seen, (), None, kept, None, None, None, ())
        with telling(f"watching {now.name}", now.count or 0) as watch:
            eye.watch = watch
            found = watched(
                told, eye.see(now), ordered=now.ordered, window=window, alpha=alpha, detectors=chosen, label=label
            )
    if unknown := sorted({name for one in found.windows for name in one.unknown}):
        notes.append(f"the reference does not know {', '.join(unknown)}: not compared")
    if told.ordered and now.ordered and not 1 / _PACE < (found.pace or 1) / (told.pace or 1) < _PACE:
        notes.append(
            f"the reference has an observation every {told.pace:.3g} s and what came one every {found.pace:.3g} s: "
            "give the same --vid-stride to both"
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return _written(folder, told, now, found, (reference, str(current)), kept, notes, alpha, artifact, label)


def _written(
    folder: Path,
    told: Profile,
    now: Side,
    found: Watched,
    names: tuple[str, str],
    kept: Path,
    notes: list[str],
    alpha: float,
    artifact: Artifact | None,
    label: int,
) -> MonitorReport:
    """The page, Evidently's beside it, the list, and what the terminal says."""
    news = sum(bool(one.drifted) for one in found.windows)
    sentence = found.sentence(*names)
    evidently = None
    if told.rows.numbers or told.rows.categories:
        try:
            evidently = write_evidently(folder / "evidently.html", told.rows, found.now)
        except MissingExtra as error:
            notes.append(f"{error.problem}: {error.fix}")
        if evidently is not None and told.ordered:
            notes.append("Evidently takes every row for news: of neighbouring frames it says drift too easily")
    labelling = None
    if label:
        labels = artifact.labels if artifact is not None and artifact.labels else labels_in(told.rows.numbers.keys())
        pictures = pictures_of(now, {pick.observation.request for pick in found.picks})
        labelling = write_labelling(folder / _LABEL, found.picks, labels or now.labels, pictures.get)
    about = {
        "reference": f"{names[0]} ({told.data}), {told.seen:,} observations, {len(told):,} kept",
        "reference sha256": told.data_sha256,
        "profile": f"{kept}, sha256 {told.sha256}",
        "current": f"{names[1]} ({now.about}), {found.seen:,} observations",
        "current sha256": now.sha256,
        "model": f"{artifact.path}, sha256 {artifact.sha256}" if artifact else told.model.name or "none",
        "false alarms": f"at most {alpha:.2g} of windows in which nothing is new have news, by Holm over all features",
        "thresholds": "from stretches of the reference held to the rest of it"
        + ("" if told.ordered else "; its rows have no order, so these are drawn at random"),
    }
    beside = {"Evidently's report of the same columns": evidently} if evidently else {}
    page = write_report(
        folder / "report.html", f"{now.name} against {Path(names[0]).name}", sentence, found.drifted, found.windows,
        (told.rows, found.now), found.strange, notes, about, beside,
    )  # fmt: skip
    features = tuple(
        FeatureReport(one.feature, one.detector, one.score.statistic, one.score.threshold, one.corrected, one.drifted)
        for one in worst_of(found.windows).values()
    )
    return MonitorReport(
        found.drifted, sentence, names[0], names[1], len(found.windows), news, found.seen, features,
        found.windows[-1].verdict(told.sha256, now.sha256), kept, page, evidently, labelling, tuple(notes),
    )  # fmt: skip


def _side(spec: str, split: str | None, target: str | None, vid_stride: int) -> Side:
    """What a name stands for; only a verb may open a video."""
    return _of_video(spec, vid_stride) if _is_video(spec) else side_of(spec, split, target)


def _is_video(spec: str) -> bool:
    path = Path(spec)
    if not path.is_file() or path.suffix.lower() in {".yaml", ".yml", ".json"}:
        return False
    return not (is_observations(path) or is_profile(path) or is_table(path)) and kind_of(spec) == "file"


def _of_video(spec: str, vid_stride: int) -> Side:
    """The frames of a video, thinned."""
    [source] = open_sources([spec])
    info = source.info
    source.close()
    step = vid_stride or max(1, round(float(info.fps or 30) / _A_SECOND))

    def frames() -> Iterator[Taken]:
        [source] = open_sources([spec])
        try:
            for frame in source.frames():
                if frame.index % step == 0:
                    yield Taken(f"frame {frame.index}", frame.seconds, "", partial(_image_of, frame))
        finally:
            source.close()

    count = None if info.declared is None else -(-info.declared // step)
    return Side(Path(spec).name, f"video, one frame in {step}", True, frames, digest(Path(spec)), count=count)


def _image_of(frame: Frame) -> Image:
    return frame.image


def _profiled(eye: Eye, side: Side) -> Profile:
    with telling(f"learning {side.name}", side.count or 0) as watch:
        eye.watch = watch
        return profile_of(
            (one for one, _ in eye.see(side)),
            data=f"{side.name}: {side.about}", data_sha256=side.sha256, ordered=side.ordered,
        )  # fmt: skip


def _place(artifact: Artifact | None, before: Side, folder: Path, out: Path | None, *, alone: bool) -> Path:
    """Where the profile goes: beside the model where it is all that was asked for, and else into the folder."""
    if alone and artifact is not None and out is None:
        return profile_path(artifact.path)
    name = artifact.path.stem if artifact is not None else _short(before.name)
    return folder / f"{name}{SUFFIX}"


def _spoke(artifact: Artifact | None) -> Spoke:
    return Spoke() if artifact is None else Spoke(artifact.path.name, sha256=artifact.sha256)


def _state(one: FeatureReport, drifted: tuple[str, ...]) -> str:
    return "changed" if one.feature in drifted and one.drifted else "news once" if one.drifted else "as usual"


def _short(name: str) -> str:
    import re

    return re.sub(r"[^\w.-]+", "-", Path(name).name.removesuffix(SUFFIX) or "data").strip("-.")[:40] or "data"


def _number(value: float) -> str:
    return "" if value != value else f"{value:.3g}"


def _p(p: float) -> str:
    return "" if p != p else "under 0.0001" if p < 0.0001 else f"{p:.4f}"

"""The search for a faster model: cheap measurements first, and what cannot win is dropped as early as that shows.

A setting goes through four gates: its form is made and proven on a few pictures; its speed is
measured shortly; its accuracy on a part of the pictures; then both in full. Optuna proposes
what to try next and keeps its study in a file, so that an interrupted search goes on where it was.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from throughline.contracts.artifacts import Array, Artifact
from throughline.contracts.errors import InputError, MissingExtra, ThroughlineError
from throughline.contracts.frames import Frame
from throughline.contracts.samples import DataSet, Sample
from throughline.evaluation.answers import answers, in_common
from throughline.evaluation.footprint import footprint
from throughline.evaluation.forms import Forms
from throughline.evaluation.front import Setting, Tried
from throughline.evaluation.non_inferiority import NonInferiority, compare_tallies
from throughline.evaluation.pace import Pace, Runs, pace
from throughline.evaluation.recipes import Recipe
from throughline.evaluation.resampling import videos_of
from throughline.evaluation.tally import Tally, tally
from throughline.models.chain import Drafted
from throughline.models.session import Session, open_model
from throughline.vision.detector import Detector, detector_for

_PACED: Final = 8
"""So many pictures, evenly spread, prove a form before anything else, and are what speed is measured on."""
_FEW: Final = 48
"""With more pictures than this, a quarter of them are asked first."""
_QUICK, _FULL = 2, 7
_FEWEST: Final = 2
"""Draws, where two that are the same are compared: every draw says the same."""
_TOO_SLOW: Final = 0.95
_AGAIN: Final = 20
"""After so many proposals that were tried already, what is left is tried in order."""
_CONF: Final = 0.001
_MOST: Final = 300


@final
@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for, and on what.

    Attributes:
        plain: the model as an ONNX graph in float32: what everything else is made from and held against.
        decoder: how its outputs are read.
        data: labelled pictures.
        task: what their truth is for.
        margin: how much accuracy may be lost: "1%" or "0.01".
        sizes: longer input sides to try, the model's own first.
        lanes: predictions at once to try, 1 first.
        batches: pictures a call to try, 1 first.
        device: where to run.
        threads: CPU threads for each setting.
        iou: two boxes that overlap more are one object.
    """

    plain: Artifact
    decoder: str
    data: DataSet
    task: str
    margin: str
    sizes: tuple[int, ...]
    lanes: tuple[int, ...]
    batches: tuple[int, ...]
    device: str
    threads: int
    iou: float

    def fingerprint(self, recipes: Sequence[Recipe]) -> dict[str, Any]:
        """What the answer depends on; another one is another search."""
        return {
            "model": self.plain.sha256,
            "data": self.data.sha256,
            "margin": self.margin,
            "space": [[[one.name, one.source.sha256] for one in recipes], self.sizes, self.lanes, self.batches],
            "device": [self.device, self.threads],
        }


@final
class Search:
    """One search, in its folder. ``tried`` grows while ``go_on`` works."""

    def __init__(self, question: Question, recipes: Sequence[Recipe], folder: Path, say: Callable[[str], None]) -> None:
        self.question, self.recipes, self._folder, self._say = question, {one.name: one for one in recipes}, folder, say
        self.tried: list[Tried] = []
        self._groups, self.notes = videos_of(question.data.samples)
        self._accuracy: dict[tuple[str, int], tuple[float, NonInferiority]] = {}
        self._paced = question.data.few(_PACED)
        self._forms = Forms(folder / "forms", self._paced, say)
        self._longer: set[Setting] = set()
        self._same_search(recipes)
        self._study = _study(folder)

    def begin(self) -> Tried:
        """Measure what everything is held against: the plain graph, in a square input, one picture at a time."""
        question = self.question
        self._plain = open_model(
            question.plain.path, backend="onnxruntime", device=question.device, threads=question.threads
        )
        setting = Setting(next(iter(self.recipes)), question.sizes[0], 1, 1, fitted=False)
        self._baseline = self._runs(self._plain, question.plain, setting)
        self._plain_tally = self._tallied(self._plain, question.plain, setting, question.data.samples)
        speed = pace(self._baseline, self._baseline, _FULL)
        held = compare_tallies(self._plain_tally, self._plain_tally, question.margin, resamples=_FEWEST)
        size = question.plain.path.stat().st_size
        memory = self._footprint(self._baseline, question.plain.path, setting)
        return Tried(setting, speed.throughput, 1.0, speed.latency_ms, self._plain_tally.value(), held, size, memory)

    def go_on(self, until: float) -> bool:
        """Try settings until this time (``time.monotonic``), at least one; whether all were tried."""
        study, space, again = self._study, list(self._space()), 0
        self.tried = [_from_json(trial.user_attrs["tried"]) for trial in study.trials if "tried" in trial.user_attrs]
        for one in self.tried:
            if one.held is not None:
                self._accuracy[one.setting.recipe, one.setting.imgsz] = one.metric, one.held
        known = {one.setting for one in self.tried}
        if not study.trials:
            for first in self._first():
                study.enqueue_trial(_params(first))
        begun_with = len(known)
        while len(known) < len(space) and (time.monotonic() < until or len(known) == begun_with):
            if again > _AGAIN:
                study.enqueue_trial(_params(next(setting for setting in space if setting not in known)))
            trial = study.ask()
            setting = self._proposed(trial)
            if setting in known:
                again += 1
                study.tell(trial, state=_pruned())
                continue
            again = 0
            one = self._try(setting)
            trial.set_user_attr("tried", _to_json(one))
            if one.held is None:
                study.tell(trial, state=_pruned())
            else:
                study.tell(trial, [one.ratio, one.metric])
            self.tried.append(one)
            known.add(setting)
            self._say(f"{len(known)} of {len(space)}: {setting}: {_told(one)}")
        return len(known) == len(space)

    def again(self, several: Sequence[Tried]) -> None:
        """Measure the speeds of a few once more and longer, each once: what decides between them."""
        for one in several:
            form = self._forms.get(self.recipes[one.setting.recipe])
            if form is None or one.setting in self._longer:
                continue
            self._longer.add(one.setting)
            with self._opened(form, one.setting) as session:
                speed = pace(self._runs(session, form.artifact, one.setting), self._baseline, 2 * _FULL)
            self.tried[self.tried.index(one)] = _with_pace(one, speed)

    def refuse(self, recipe: str) -> None:
        """A form that failed its proof on every picture is no answer, at whatever size."""
        lost = "its proof failed on all the pictures"
        self.tried = [
            dataclasses.replace(one, held=None, lost=lost) if one.setting.recipe == recipe else one
            for one in self.tried
        ]

    def close(self) -> None:
        """Close the model that everything was measured against."""
        self._plain.close()

    def _try(self, setting: Setting) -> Tried:
        recipe = self.recipes[setting.recipe]
        nothing = Tried(setting, 0.0, 0.0, 0.0, float("nan"), None, 0, 0.0)
        form = self._forms.get(recipe)
        if form is None:
            return dataclasses.replace(nothing, lost=self._forms.refused[recipe.name])
        size = sum(file.stat().st_size for file in _files(form))
        nothing = dataclasses.replace(nothing, size=size)
        try:
            with self._opened(form, setting) as session:
                runs = self._runs(session, form.artifact, setting)
                quick = pace(runs, self._baseline, _QUICK)
                if quick.ratio < _TOO_SLOW:
                    return dataclasses.replace(
                        _with_pace(nothing, quick), lost=f"slower than the baseline: {quick.ratio:.2f} x"
                    )
                metric, held, lost = self._judged(session, form.artifact, setting)
                if held is None:
                    return dataclasses.replace(_with_pace(nothing, quick), lost=lost)
                one = dataclasses.replace(nothing, metric=metric, held=held)
                if held.decision == "failed":
                    return dataclasses.replace(_with_pace(one, quick), lost="its accuracy fell")
                one = dataclasses.replace(one, memory=self._footprint(runs, form.artifact.path, setting))
                return _with_pace(one, pace(runs, self._baseline, _FULL))
        except ThroughlineError as error:
            return dataclasses.replace(nothing, lost=f"it does not run: {error.problem}")

    def _judged(
        self, session: Session, artifact: Artifact, setting: Setting
    ) -> tuple[float, NonInferiority | None, str]:
        """Its accuracy, asked once for each form and size; on a part of the pictures first."""
        key = setting.recipe, setting.imgsz
        if key not in self._accuracy:
            samples = self.question.data.samples
            if len(samples) > _FEW:
                rows = range(0, len(samples), 4)
                part = self._tallied(session, artifact, setting, [samples[row] for row in rows])
                groups = None if self._groups is None else [self._groups[row] for row in rows]
                early = compare_tallies(
                    self._plain_tally.part(np.asarray(rows)), part, self.question.margin, groups=groups
                )
                if early.decision == "failed":
                    return float("nan"), None, f"its accuracy fell on a quarter of them: {early.difference:+.4f}"
            whole = self._tallied(session, artifact, setting, samples)
            held = compare_tallies(self._plain_tally, whole, self.question.margin, groups=self._groups)
            self._accuracy[key] = whole.value(), held
        return (*self._accuracy[key], "")

    def _tallied(self, session: Session, artifact: Artifact, setting: Setting, samples: Sequence[Sample]) -> Tally:
        found = answers(lambda frame: self._detector(session, artifact, setting, frame), samples)
        found = in_common(found, artifact.labels, self.question.data.labels, self.notes)
        return tally(self.question.task, found, [sample.truth for sample in samples if sample.truth is not None])

    def _detector(self, session: Session, artifact: Artifact, setting: Setting, frame: tuple[int, int]) -> Detector:
        fixed = _fixed(artifact)
        return detector_for(
            artifact,
            session,
            decoder=self.question.decoder,
            frame=frame if setting.fitted else None,
            imgsz=None if fixed else setting.imgsz,
            conf=_CONF,
            iou=self.question.iou,
            max_det=_MOST,
        )

    def _runs(self, session: Session, artifact: Artifact, setting: Setting) -> Runs:
        """The pictures made ready for the model, in calls of the setting's batch."""
        by_shape: dict[tuple[int, int], list[Array]] = {}
        for sample in self._paced:
            image = sample.read()
            detector = self._detector(session, artifact, setting, (image.shape[0], image.shape[1]))
            batch = detector.buffer(1)
            detector.fill(batch, [Frame(0, 0.0, image, sample.name)])
            by_shape.setdefault(detector.canvas, []).append(batch)
        if setting.batch > 1:  # of one shape only: the most frequent, as often as it takes to fill a call
            alike = max(by_shape.values(), key=len)
            alike = [alike[at % len(alike)] for at in range(-(-len(alike) // setting.batch) * setting.batch)]
            groups = [np.concatenate(alike[at : at + setting.batch]) for at in range(0, len(alike), setting.batch)]
        else:
            groups = [one for several in by_shape.values() for one in several]
        calls: list[Mapping[str, Array]] = [
            self._detector(session, artifact, setting, (group.shape[2], group.shape[3])).inputs_for(group)
            for group in groups
        ]
        return Runs(session, calls, setting.batch, setting.lanes)

    def _opened(self, form: Drafted, setting: Setting) -> Session:
        made_here = True  # a moment ago
        return open_model(form.artifact.path, lanes=setting.lanes, trust=made_here, **self._opening(setting))

    def _footprint(self, runs: Runs, model: Path, setting: Setting) -> float:
        return footprint(model, runs.calls[0], setting.lanes, **self._opening(setting))

    def _opening(self, setting: Setting) -> dict[str, Any]:
        backend = self.recipes[setting.recipe].backend
        return {"backend": backend, "device": self.question.device, "threads": self.question.threads}

    def _space(self) -> Iterator[Setting]:
        question = self.question
        for recipe in self.recipes:
            for imgsz in question.sizes:
                for lanes in question.lanes:
                    yield from (Setting(recipe, imgsz, lanes, batch) for batch in question.batches)

    def _first(self) -> Iterator[Setting]:
        """What is tried before anything is known: every form at the model's own size, with every core busy."""
        for recipe in self.recipes:
            yield Setting(recipe, self.question.sizes[0], self.question.lanes[-1], 1)

    def _proposed(self, trial: Any) -> Setting:
        question = self.question
        return Setting(
            trial.suggest_categorical("recipe", list(self.recipes)),
            trial.suggest_categorical("imgsz", list(question.sizes)),
            trial.suggest_categorical("lanes", list(question.lanes)),
            trial.suggest_categorical("batch", list(question.batches)),
        )

    def _same_search(self, recipes: Sequence[Recipe]) -> None:
        asked = json.loads(json.dumps(self.question.fingerprint(recipes)))
        known = self._folder / "search.json"
        self._folder.mkdir(parents=True, exist_ok=True)
        if known.exists() and (before := json.loads(known.read_text("utf-8"))) != asked:
            other = next(name for name in asked if before.get(name) != asked[name])
            raise InputError(f"{self._folder}: holds a search with another {other}", "give another --out")
        known.write_text(json.dumps(asked), "utf-8")


def _study(folder: Path) -> Any:
    try:
        import optuna
    except ModuleNotFoundError:
        raise MissingExtra("optuna", "the search", "optimize") from None
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / "study.log"))),
        study_name="optimize",
        directions=["maximize", "maximize"],
        sampler=optuna.samplers.TPESampler(seed=0),
        load_if_exists=True,
    )


def _told(one: Tried) -> str:
    if one.lost or one.held is None:
        return one.lost
    return f"{one.ratio:.2f} x, {one.held}"


def _fixed(artifact: Artifact) -> bool:
    return all(isinstance(side, int) for side in artifact.inputs[0].shape[2:])


def _files(form: Drafted) -> list[Path]:
    path = form.artifact.path
    return [path, *(path.with_name(name) for name in form.artifact.passport.companions)]


def _with_pace(one: Tried, speed: Pace) -> Tried:
    return dataclasses.replace(one, throughput=speed.throughput, ratio=speed.ratio, latency_ms=speed.latency_ms)


def _params(setting: Setting) -> dict[str, Any]:
    return {"recipe": setting.recipe, "imgsz": setting.imgsz, "lanes": setting.lanes, "batch": setting.batch}


def _pruned() -> Any:
    from optuna.trial import TrialState

    return TrialState.PRUNED


def _to_json(one: Tried) -> dict[str, Any]:
    return dataclasses.asdict(one)


def _from_json(body: Mapping[str, Any]) -> Tried:
    held = None if body["held"] is None else NonInferiority(**body["held"])
    return Tried(**{**body, "setting": Setting(**body["setting"]), "held": held})

"""A search that any number of processes share and any of them may be killed: a study in SQLite, and a rule for taking.

A trial is taken under a lock, so that no more are begun than were asked for. Whoever was killed leaves a trial that
says it is running and whose lock is free: the next to come takes it up where it was. The tuner is made anew for every
trial, seeded by its number, so that what it proposes follows from what is known, and not from who was killed when.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, final

from throughline.contracts.errors import InputError, ModelRefused
from throughline.files import whole_file, writing
from throughline.training.run import Pruned
from throughline.training.space import Space, propose, short
from throughline.training.tuners import TUNERS

PRUNERS: Final = ("median", "hyperband", "none")
_HOPELESS: Final = 3
"""After so many trials that failed, and none that did not, it is no matter of chance."""
_PATIENT: Final = 600.0
"""Seconds for which a process waits for another that writes."""


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What one trial came to.

    Attributes:
        number: which trial, from 0.
        state: "complete", "pruned", "failed" or "running".
        parameters: what it took.
        values: the objectives by name, as they were measured; empty where they were not.
        seconds: how long it took.
        why: why it failed.
        broken: by how much it breaks each constraint; empty where it keeps them.
    """

    number: int
    state: str
    parameters: Mapping[str, Any]
    values: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    why: str = ""
    broken: tuple[float, ...] = ()

    def __str__(self) -> str:
        values = ", ".join(f"{name} {value:.4g}" for name, value in self.values.items())
        taken = ", ".join(f"{name} {short(value)}" for name, value in self.parameters.items())
        state = {"complete": "", "pruned": "ended early at "}.get(self.state, f"{self.state}: ")
        return f"trial {self.number}: {state}{values or self.why}: {taken}"


@final
@dataclass(frozen=True, slots=True)
class Objective:
    """What is to be as large, or as small, as it can be."""

    name: str
    larger: bool

    def __str__(self) -> str:
        return f"{'max' if self.larger else 'min'} {self.name}"

    def sign(self) -> int:
        """What makes of it a number that is better the larger it is."""
        return 1 if self.larger else -1


Step: TypeAlias = Callable[[float, int], None]
Trying: TypeAlias = Callable[[int, Mapping[str, Any], Step], Mapping[str, float]]
"""From a trial's number, what it takes, and where to tell how it goes, to the objectives by name."""


@final
class Search:
    """One search, in its folder.

    Args:
        folder: where it is kept; the same search goes on in it.
        space: what there is to choose from.
        objectives: what is wanted; of several, the front.
        tuner: who proposes.
        pruner: who ends trials that go badly: "median", "hyperband", "none".
        seed: from which proposals follow.
        about: what else makes it this search, and no other.
        constraints: of what a trial took, each kept where it gives 0 or less.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        objectives: Sequence[Objective],
        *,
        tuner: str = "tpe",
        pruner: str = "none",
        seed: int = 0,
        about: Mapping[str, Any] | None = None,
        constraints: Sequence[Callable[[Mapping[str, Any]], float]] = (),
    ) -> None:
        if not space:
            raise InputError("there is nothing to search", "write a value as LOW .. HIGH, or as A | B | C")
        if pruner not in PRUNERS:
            raise InputError(f"there is no pruner '{pruner}'", f"one of: {', '.join(PRUNERS)}")
        TUNERS.make(tuner, space, seed, 0)  # what it lacks is said now
        counts = TUNERS.get(tuner).facts.get("combinations")
        self._combinations = math.inf if counts is None else counts(space)
        self.folder, self.space, self.objectives, self.seed = folder, space, tuple(objectives), seed
        self._tuner, self._pruner, self._constraints = tuner, pruner, constraints
        told = {name: str(one) for name, one in space.items()}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            asked = {"space": told, "objectives": list(map(str, objectives)), "seed": seed}
            self._same({**(about or {}), **asked, "tuner": tuner, "pruner": pruner})
            self._study = self._opened()

    def go_on(self, trials: int, attempt: Trying, say: Callable[[Outcome], None]) -> None:
        """Try until there are so many trials, those of other processes among them."""
        while (taken := self._take(trials)) is not None:
            with taken as trial:
                self._tried(trial, attempt, say)
            finished = [one for one in self.outcomes() if one.state != "running"]
            if len(finished) >= _HOPELESS and all(one.state == "failed" for one in finished):
                raise InputError(
                    f"{len(finished)} trials were made and each of them failed; the first: {finished[0].why}",
                    "see whether `throughline train` carries out the recipe with a value of each range",
                )

    def outcomes(self) -> list[Outcome]:
        """Every trial, the first first."""
        return [self._outcome(trial) for trial in self._study.get_trials(deepcopy=False) if trial.params]

    def front(self) -> list[Outcome]:
        """What none beats in everything and keeps the constraints, the best of the first objective first."""
        able = [one for one in self.outcomes() if one.state == "complete" and not any(each > 0 for each in one.broken)]
        scores = {one.number: [each.sign() * one.values[each.name] for each in self.objectives] for one in able}

        def beaten(one: Outcome) -> bool:
            mine = scores[one.number]
            return any(
                all(a >= b for a, b in zip(other, mine, strict=True)) and (other != mine or number < one.number)
                for number, other in scores.items()
            )

        return sorted((one for one in able if not beaten(one)), key=lambda one: -scores[one.number][0])

    def importances(self) -> dict[str, float]:
        """How much each dimension has to do with the first objective, as shares; nothing where too little is known."""
        import optuna

        complete = [trial for trial in self._study.get_trials(deepcopy=False) if _state(trial) == "complete"]
        if len(complete) < 4 or len({trial.values[0] for trial in complete}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        target = (lambda trial: trial.values[0]) if len(self.objectives) > 1 else None
        with contextlib.suppress(RuntimeError, ValueError):
            return dict(optuna.importance.get_param_importances(self._study, evaluator=evaluator, target=target))
        return {}

    def note(self, name: str, value: str) -> None:
        """Keep a fact with the search, for whoever goes on with it."""
        self._study.set_user_attr(name, value)

    def noted(self, name: str) -> str | None:
        """A fact that was kept."""
        found: str | None = self._study.user_attrs.get(name)
        return found

    def _tried(self, trial: Any, attempt: Trying, say: Callable[[Outcome], None]) -> None:
        from optuna.trial import TrialState

        reported: list[tuple[int, float]] = []
        began = time.monotonic()

        def step(value: float, number: int) -> None:
            reported.append((number, value))
            if len(self.objectives) == 1 and self._pruner != "none" and value == value:
                trial.report(self.objectives[0].sign() * value, number)
                if trial.should_prune():
                    raise Pruned

        try:
            values = attempt(trial.number, dict(trial.params), step)
        except Pruned:
            self._keep(trial, began, values={self.objectives[0].name: reported[-1][1]})
            self._study.tell(trial, state=TrialState.PRUNED)
        except (InputError, ModelRefused) as error:  # what it took makes no model, or one whose proof failed
            self._failed(trial, began, error.problem)
        else:
            found = {one.name: float(values[one.name]) for one in self.objectives}
            if strange := [name for name, value in found.items() if value != value]:
                self._failed(trial, began, f"{strange[0]} is not a number")
            else:
                self._keep(trial, began, values=found)
                self._study.tell(trial, [one.sign() * found[one.name] for one in self.objectives])
        say(next(one for one in self.outcomes() if one.number == trial.number))

    def _failed(self, trial: Any, began: float, why: str) -> None:
        from optuna.trial import TrialState

        self._keep(trial, began, why=why)
        self._study.tell(trial, state=TrialState.FAIL)

    def _keep(self, trial: Any, began: float, **facts: Any) -> None:
        before = trial.user_attrs.get("seconds", 0.0)
        for name, value in {"seconds": before + time.monotonic() - began, **facts}.items():
            trial.set_user_attr(name, value)

    def _take(self, trials: int) -> contextlib.AbstractContextManager[Any] | None:
        """A trial, its lock held until it is told: one that was left behind, or a new one; None at the end."""
        import optuna

        with self._locked():
            known = self._study.get_trials(deepcopy=False)
            running = ((one, self._lock_of(one.number)) for one in known if _state(one) == "running")
            left, lock = next((pair for pair in running if pair[1] is not None), (None, None))
            number = len(known) if left is None else left.number
            if left is None and number >= min(trials, self._combinations):
                return None
            self._study.sampler = TUNERS.make(self._tuner, self.space, self.seed, number)
            trial = self._study.ask() if left is None else optuna.trial.Trial(self._study, left._trial_id)
            propose(trial, self.space)
            if self._constraints and "constraints" not in trial.user_attrs:
                broken = [float(one(trial.params)) for one in self._constraints]
                trial.set_user_attr("constraints", broken)
                for place, by in enumerate(broken):
                    trial.set_constraint(str(place), by)
            return _holding(lock or self._lock_of(number), trial)

    def _opened(self) -> Any:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruners = {
            "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
            "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1),
            "none": optuna.pruners.NopPruner,
        }
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{self.folder / 'study.db'}", engine_kwargs={"connect_args": {"timeout": _PATIENT}}
        )
        _without_waiting_for_the_disk(storage.engine)
        return optuna.create_study(
            storage=storage,
            study_name="search",
            directions=["maximize"] * len(self.objectives),
            pruner=pruners[self._pruner](),
            load_if_exists=True,
        )

    def _same(self, asked: Mapping[str, Any]) -> None:
        known = self.folder / "search.json"
        asked = json.loads(json.dumps(asked))
        if known.exists():
            before = json.loads(known.read_text("utf-8"))
            for name in before.keys() | asked.keys():
                if before.get(name) != asked.get(name):
                    raise InputError(
                        f"{self.folder}: there is another search in it: {name} was {before.get(name)!r} and is "
                        f"{asked.get(name)!r}",
                        "go on with the one that was begun, or give another --name or --out",
                    )
        with whole_file(known) as draft:
            draft.write_text(json.dumps(asked, indent=2) + "\n", "utf-8")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / ".taking").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _lock_of(self, number: int) -> Any:
        """The lock of a trial, held; None where another process holds it."""
        place = self.folder / ".trials"
        place.mkdir(exist_ok=True)
        lock = (place / str(number)).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock

    def _outcome(self, trial: Any) -> Outcome:
        told = trial.user_attrs
        values = told.get("values", {})
        return Outcome(
            trial.number, _state(trial), dict(trial.params), dict(values), float(told.get("seconds", 0.0)),
            told.get("why", ""), tuple(told.get("constraints", ())),
        )  # fmt: skip


def _without_waiting_for_the_disk(engine: Any) -> None:
    """A killed process loses nothing so; a machine that loses its power may lose the last trial."""
    from sqlalchemy import event

    def told(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(engine, "connect", told)
    engine.dispose()


@contextlib.contextmanager
def _holding(lock: Any, trial: Any) -> Iterator[Any]:
    with lock:
        yield trial


def _state(trial: Any) -> str:
    return {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(trial.state.name, "running")

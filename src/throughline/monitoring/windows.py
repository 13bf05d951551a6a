"""Windows over a stream of observations, each held to the reference; alarms that neither flicker nor cry wolf.

Of each window as many questions are asked as there are features, so every p is corrected by Holm: of a hundred
windows of nothing new, at most one has a feature that looks new. An alarm wants more: a feature that is new in
several windows in a row. It ends once the feature was as usual in several windows in a row.

Only as many observations are held as a window has.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from throughline.contracts.errors import InputError
from throughline.contracts.observations import Observation
from throughline.contracts.verdicts import Check, Verdict
from throughline.monitoring.detectors import ALPHA, DETECTORS, Detector, Reference, Score, kind_of
from throughline.monitoring.profile import Profile
from throughline.monitoring.rows import Column, Rows, missing
from throughline.stats.several import holm

WINDOW: Final = 60
ON: Final = 2
OFF: Final = 2
USUAL: Final[Mapping[str, str]] = {"numbers": "wasserstein", "categories": "g_test", "vectors": "mmd"}
"""Which detector judges what, where nobody chose."""
_STRETCHES: Final = 10
_SHORTEST: Final = 8


@dataclass(frozen=True, slots=True)
class Judged:
    """One question of one window.

    Attributes:
        feature: of what.
        detector: by which detector; "missing" where the question is how often there is no value.
        score: what it said.
        corrected: its p, corrected for how many were asked; NaN for a detector that knows none.
        drifted: whether that is news.
    """

    feature: str
    detector: str
    score: Score
    corrected: float
    drifted: bool


@dataclass(frozen=True, slots=True)
class Window:
    """What came of one window.

    Attributes:
        number: which one, from 0.
        start: when its first observation was, in seconds.
        end: when its last was.
        requests: the ids of its observations.
        judged: every question.
        alarms: the features whose alarm is on, after this window.
        raised: those whose alarm went on with it.
        cleared: those whose alarm went off with it.
        unknown: features that the reference does not have.
    """

    number: int
    start: float
    end: float
    requests: tuple[str, ...]
    judged: tuple[Judged, ...]
    alarms: tuple[str, ...]
    raised: tuple[str, ...]
    cleared: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """The features that are news in this window."""
        return tuple(dict.fromkeys(one.feature for one in self.judged if one.drifted))

    def verdict(self, *subjects: str) -> Verdict:
        """The same in the shape that every judgement has; the limit of a statistic is that of its question alone."""
        checks = [
            Check(f"{one.feature} ({one.detector})", _plain(one.score.statistic), _plain(one.score.threshold),
                  not one.drifted) for one in self.judged
        ]  # fmt: skip
        return Verdict(subjects, tuple(checks))


@final
class Hysteresis:
    """On after so many times in a row, off after so many times not in a row."""

    def __init__(self, on: int, off: int) -> None:
        """With how many it takes to go on, and to go off."""
        if on < 1 or off < 1:
            raise InputError(f"an alarm that goes on after {on} windows and off after {off}", "give 1 or more of each")
        self._on, self._off = on, off
        self.active, self._run = False, 0

    def take(self, over: bool) -> bool:
        """Whether the alarm is on after this one more."""
        self._run = self._run + 1 if over != self.active else 0
        if self._run >= (self._off if self.active else self._on):
            self.active, self._run = not self.active, 0
        return self.active


@final
class Watch:
    """Holds a stream of observations to a profile, window by window. For one thread; an observer gives it one."""

    def __init__(
        self,
        profile: Profile,
        *,
        window: int | None = None,
        hop: int | None = None,
        alpha: float = ALPHA,
        detectors: Sequence[str] = (),
        on: int = ON,
        off: int = OFF,
        seed: int = 0,
    ) -> None:
        """Make the detectors, which takes a second or two.

        Args:
            profile: the reference.
            window: observations to a window; 60, or a tenth of a short reference, where it is not given.
            hop: observations from one window to the next; a window's length where it is not given.
            alpha: how many windows of nothing new may have news.
            detectors: by name; each judges every feature that it can. One for each kind of feature where none is named.
            on: an alarm goes on after so many windows with news of one feature in a row.
            off: and off after so many without.
            seed: draws whatever is drawn.
        """
        if not 0 < alpha < 0.5:
            raise InputError(f"alpha is {alpha:g}; it must be over 0 and under 0.5", "0.01 suits most")
        self.profile = profile
        self.window = window_for(len(profile), window)
        self.hop = hop or self.window
        if not 1 <= self.hop <= self.window:
            raise InputError(f"hop is {hop}; it must be from 1 to the window's {self.window}", "leave it away")
        self._alpha = alpha
        self._questions = self._made(detectors, seed)
        self._alarms = {name: Hysteresis(on, off) for name in dict.fromkeys(one[0] for one in self._questions)}
        self._held: deque[Observation] = deque(maxlen=self.window)
        self._taken, self._fresh, self._number = 0, 0, 0

    def take(self, one: Observation) -> Window | None:
        """Add one observation; what came of the window, where it filled one."""
        self._taken += 1
        if (self._taken - 1) % self.profile.step:
            return None
        self._held.append(one)
        self._fresh += 1
        if len(self._held) < self.window or self._fresh < self.hop:
            return None
        self._fresh = 0
        return self.judge(self._held)

    def over(self, observations: Iterable[Observation]) -> list[Window]:
        """All windows that these fill."""
        return [window for one in observations if (window := self.take(one)) is not None]

    @property
    def alarms(self) -> tuple[str, ...]:
        """The features whose alarm is on."""
        return tuple(name for name, alarm in self._alarms.items() if alarm.active)

    def judge(self, held: Sequence[Observation]) -> Window:
        """Hold these to the reference, as many as a window has, whatever came before."""
        rows, before = Rows.of(held), set(self.alarms)
        scores = []
        for feature, name, detector, like in self._questions:
            column = rows.feature(feature, like)
            scores.append(detector.score(missing(column) if name == MISSING else column))
        judged = self._corrected(scores)
        news = {one.feature for one in judged if one.drifted}
        for feature, alarm in self._alarms.items():
            alarm.take(feature in news)
        now = self.alarms
        self._number += 1
        return Window(
            self._number - 1,
            held[0].seconds,
            held[-1].seconds,
            tuple(one.request for one in held),
            judged,
            now,
            tuple(name for name in now if name not in before),
            tuple(name for name in self._alarms if name in before and name not in now),
            tuple(name for name in rows.features if name not in self._alarms),
        )

    def _corrected(self, scores: Sequence[Score]) -> tuple[Judged, ...]:
        """Holm over all that know a p; the others were each made with their share of alpha."""
        told = np.array([score.p for score in scores], np.float64)
        share = self._alpha * float(np.mean(~np.isnan(told))) if len(told) else 0.0
        corrected = holm(told)
        return tuple(
            Judged(feature, name, score, float(p), score.drifted if math.isnan(score.p) else bool(p <= share))
            for (feature, name, _, _), score, p in zip(self._questions, scores, corrected, strict=True)
        )

    def _made(self, chosen: Sequence[str], seed: int) -> list[tuple[str, str, Detector, Column]]:
        """Feature, detector's name, detector, and a piece of the column that says which kind it is."""
        features = self.profile.rows.features
        asked: list[tuple[str, str]] = []
        for feature, column in features.items():
            kind = kind_of(column)
            able = [name for name in chosen if kind in DETECTORS.get(name).facts["takes"]]
            asked += [(feature, name) for name in (able if chosen else [USUAL[kind]])]
        if not asked:
            raise InputError(
                f"none of these detectors judges anything that the reference has: {', '.join(chosen)}",
                f"choose among: {', '.join(DETECTORS.names())}",
            )
        asked += [(feature, MISSING) for feature in dict.fromkeys(feature for feature, _ in asked)]
        made = []
        for feature, name in asked:
            column = features[feature]
            values = missing(column) if name == MISSING else column
            reference = Reference(values, self.window, self.profile.ordered, seed)
            called = USUAL["numbers"] if name == MISSING else name
            made.append((feature, name, DETECTORS.make(called, reference, alpha=self._alpha / len(asked)), column[:1]))
        return made


MISSING: Final = "missing"
"""The question how often a feature has no value, among the detectors' names."""


def window_for(rows: int, asked: int | None) -> int:
    """How many observations a window has, over a reference of so many rows."""
    window = min(WINDOW, max(_SHORTEST, rows // _STRETCHES)) if asked is None else asked
    if window < 2 or rows < 2 * window:
        raise InputError(
            f"the reference has {rows:,} rows, too few to know how windows of {window} vary",
            "give a reference of ten windows, or a smaller --window",
        )
    return window


def _plain(value: float) -> float | str:
    return "not known" if math.isnan(value) else value

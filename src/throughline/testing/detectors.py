"""What every drift detector must do, as a test class: subclass it and name the detector.

    class TestMine(DetectorConformance):
        detector = "mine"

The promise at its heart is the stated rate of false alarms: on a world in which nothing changes, whether its rows
hang together or not, a detector says drift about as often as ``alpha`` allows, and it still sees a clear change.
A detector that takes neighbours for alike may need more windows for that (``patience``).
"""
# ruff: noqa: D102, PT017 - a test's name is its docstring, and this file imports without pytest

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from throughline.contracts.errors import InputError
from throughline.monitoring.detectors import ALPHA, DETECTORS, Detector, Reference, Score, Values

WINDOW: Final = 50
_ROWS: Final = 1000
_WINDOWS: Final = 25
_WORLDS: Final = 8
_WORDS: Final = np.array(["car", "bus", "person", "dog"], object)


def noise(rows: int, memory: float, seed: int) -> npt.NDArray[np.float64]:
    """Standard normal values, each so much like the one before (an autoregression of first order)."""
    chance = np.random.default_rng(seed)
    steps, found = chance.normal(size=rows), np.empty(rows)
    found[0] = steps[0]
    for at in range(1, rows):
        found[at] = memory * found[at - 1] + math.sqrt(1 - memory * memory) * steps[at]
    return found


class DetectorConformance(ABC):
    """The suite. pytest collects the subclasses whose names begin with ``Test``."""

    detector: ClassVar[str]
    patience: ClassVar[int] = 1
    memory: ClassVar[float] = 0.7
    """How much alike neighbours are in the test that has some."""

    def kinds(self) -> tuple[str, ...]:
        """What it says that it takes."""
        return tuple(DETECTORS.get(self.detector).facts["takes"])

    def make(self, values: Values, *, ordered: bool = False, alpha: float = ALPHA) -> Detector:
        """The detector, held to these values."""
        made: Detector = DETECTORS.make(self.detector, Reference(values, WINDOW, ordered), alpha=alpha)
        return made

    def values(self, kind: str, rows: int, seed: int, *, memory: float = 0.0, shift: float = 0.0) -> Values:
        """Rows of a kind, their middle moved by so many standard deviations."""
        plain = noise(rows, memory, seed) + shift
        if kind == "categories":
            return _WORDS[np.digitize(plain, (-1.0, 0.0, 1.0))]
        if kind == "vectors":
            return np.stack([plain, *(noise(rows, memory, seed + 1000 * at) for at in range(1, 4))], axis=1)
        return plain

    def test_it_says_what_it_does_and_what_it_takes(self) -> None:
        plugin = DETECTORS.get(self.detector)
        assert plugin.summary
        assert set(self.kinds()) <= {"numbers", "categories", "vectors"}
        assert self.kinds()
        assert isinstance(plugin.facts["stream"], bool)

    def test_rows_of_one_world_rarely_look_new(self) -> None:
        for kind in self.kinds():
            self._rarely(kind, memory=0.0)

    def test_frames_that_are_like_their_neighbours_rarely_look_new(self) -> None:
        for kind in self.kinds():
            self._rarely(kind, memory=self.memory)

    def test_a_clear_change_is_seen_and_goes_on_being_seen(self) -> None:
        for kind in self.kinds():
            for seed in range(3):
                detector = self.make(self.values(kind, _ROWS, seed))
                after = self.values(kind, 6 * self.patience * WINDOW, seed + 50, shift=2.5)
                seen = [detector.score(window).drifted for window in _windows(after)]
                assert any(seen[: self.patience]), (kind, seed, seen)
                assert sum(seen) * self.patience >= len(seen) // 2, (kind, seed, seen)

    def test_what_was_seen_before_is_nothing_new(self) -> None:
        for kind in self.kinds():
            values = self.values(kind, _ROWS, 3)
            detector = self.make(values)
            assert not any(detector.score(window).drifted for window in _windows(values[: 4 * WINDOW]))

    def test_the_same_again_says_the_same_again(self) -> None:
        for kind in self.kinds():
            values, after = self.values(kind, _ROWS, 4), self.values(kind, 2 * WINDOW, 5, shift=0.4)
            said = [[one.score(window) for window in _windows(after)] for one in (self.make(values), self.make(values))]
            assert [_plain(one) for one in said[0]] == [_plain(one) for one in said[1]]

    def test_a_constant_is_nothing_new_until_it_changes(self) -> None:
        for kind in self.kinds():
            same, other = self._constant(kind, 0, _ROWS), self._constant(kind, 1, 2 * WINDOW * self.patience)
            detector = self.make(same)
            assert not detector.score(same[:WINDOW]).drifted, kind
            odd = same[:WINDOW].copy()
            odd[7] = other[0]
            assert not detector.score(odd).drifted, f"{kind}: one odd value in a window is no change of the world"
            assert any(detector.score(window).drifted for window in _windows(other)), kind

    def test_what_comes_round_exactly_is_nothing_new(self) -> None:
        for kind in self.kinds():
            round_ = np.concatenate([self.values(kind, WINDOW, 11)] * 20)
            detector = self.make(round_, ordered=True)
            assert not detector.score(round_[:WINDOW]).drifted, kind
            odd = round_[:WINDOW].copy()
            odd[3] = odd[4]
            assert not detector.score(odd).drifted, kind
            other = self.values(kind, 3 * self.patience * WINDOW, 12, shift=3.0)
            assert any(detector.score(window).drifted for window in _windows(other)), kind

    def test_missing_values_and_empty_windows_say_nothing(self) -> None:
        for kind in self.kinds():
            values = self.values(kind, _ROWS, 6)
            values[::7] = self._missing(kind)
            detector = self.make(values)
            nothing = values[:WINDOW].copy()
            nothing[:] = self._missing(kind)
            for window in (nothing, nothing[:0]):
                score = detector.score(window)
                assert not score.drifted
                assert math.isnan(score.statistic) or score.statistic >= 0
            some = self.values(kind, WINDOW, 8)
            some[::7] = self._missing(kind)
            assert not detector.score(some).drifted
            assert not self.make(np.concatenate([nothing] * 20)).score(some).drifted

    def test_a_score_makes_sense(self) -> None:
        for kind in self.kinds():
            detector = self.make(self.values(kind, _ROWS, 9))
            for shift in (0.0, 0.5, 3.0):
                for window in _windows(self.values(kind, 3 * WINDOW, 10, shift=shift)):
                    score = detector.score(window)
                    assert isinstance(score, Score)
                    assert math.isnan(score.statistic) or score.statistic >= 0
                    if not math.isnan(score.p):
                        assert 0 <= score.p <= 1
                        assert score.drifted == (score.p <= ALPHA)
                        assert score.drifted == (score.statistic > score.threshold)

    def test_a_reference_that_is_too_short_is_refused(self) -> None:
        try:
            self.make(self.values(self.kinds()[0], WINDOW, 0))
        except InputError as error:
            assert error.fix
        else:
            raise AssertionError("a reference of one window was taken")

    def _rarely(self, kind: str, memory: float) -> None:
        false = 0
        for seed in range(_WORLDS):
            values = self.values(kind, _ROWS + _WINDOWS * WINDOW, 100 + seed, memory=memory)
            detector = self.make(values[:_ROWS], ordered=memory > 0)
            false += sum(detector.score(window).drifted for window in _windows(values[_ROWS:]))
        # a detector that is right in 99 of 100 windows says drift in more than 9 of 200 once in 20,000 times
        allowed = 9
        assert false <= allowed, f"{kind}: {false} false alarms in {_WORLDS * _WINDOWS} windows"

    def _constant(self, kind: str, which: int, rows: int) -> Values:
        if kind == "categories":
            return np.array([_WORDS[which]] * rows, object)
        return np.full((rows, 4) if kind == "vectors" else rows, 3.0 + which)

    def _missing(self, kind: str) -> Any:
        return None if kind == "categories" else np.nan


def _windows(values: Values) -> Iterator[Values]:
    for start in range(0, len(values) - WINDOW + 1, WINDOW):
        yield values[start : start + WINDOW]


def _plain(score: Score) -> tuple[str, str, str, bool]:
    return repr(score.statistic), repr(score.threshold), repr(score.p), score.drifted

"""Everything that came after a reference, watched in one pass and in bounded memory.

What comes in the order of time is cut into windows, and the alarms decide. What has no order is one window, as
large as the reference allows, drawn at random: then this window decides.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from throughline.contracts.errors import InputError
from throughline.contracts.observations import Observation
from throughline.monitoring.detectors import ALPHA
from throughline.monitoring.labelling import Pick, Picker
from throughline.monitoring.novelty import Novelty
from throughline.monitoring.profile import MOST, Profile, drawn
from throughline.monitoring.report import Strange
from throughline.monitoring.rows import Rows
from throughline.monitoring.windows import ON, Hysteresis, Watch, Window, window_for

Shown = tuple[Observation, Callable[[], bytes | None]]
"""An observation, and what gives its picture with what was found in it; None where there is none."""
_STRANGE: Final = 8
_FEWEST: Final = 8
_NAMED: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """What came of it.

    Attributes:
        windows: every window.
        drifted: the features that changed: whose alarm went on, or that were news in the only window there is.
        now: a bounded part of the rows, evenly spread.
        seen: how many observations there were.
        pace: seconds from one observation to the next, on average.
        picks: what to label first.
        strange: the frame of each of a few windows that is least like the reference.
    """

    windows: tuple[Window, ...]
    drifted: tuple[str, ...]
    now: Rows
    seen: int
    pace: float
    picks: tuple[Pick, ...]
    strange: tuple[Strange, ...]

    def sentence(self, reference: str, current: str) -> str:
        """What came of it, said once."""
        if not self.drifted:
            return f"{current} is like {reference}: no feature changed in {len(self.windows):,} windows."
        many = len(self.drifted)
        told = ", ".join(self.drifted[:6]) + (f" and {many - 6} more" if many > 6 else "")
        return f"{current} has drifted from {reference}: {told} changed."


def watched(
    profile: Profile,
    shown: Iterable[Shown],
    *,
    ordered: bool,
    window: int | None = None,
    alpha: float = ALPHA,
    detectors: Sequence[str] = (),
    label: int = 0,
    seed: int = 0,
) -> Watched:
    """Watch all of it.

    Args:
        profile: the reference.
        shown: what came.
        ordered: whether it came in the order of time.
        window: observations to a window; as the reference allows where it is not given.
        alpha: how many windows of nothing new may have news.
        detectors: by name; one for each kind of feature where none is named.
        label: so many observations are picked to be labelled.
        seed: draws whatever is drawn.
    """
    options = {"alpha": alpha, "detectors": detectors, "seed": seed}
    in_windows = ordered or window is not None
    through = _Through(profile, shown, label, in_windows)
    if in_windows:
        windows = list(_windows(profile, through, window, options))
    else:
        kept = drawn(through, MOST, seed)
        size = min(len(kept), len(profile) // 2)
        _enough(through.seen, size, _FEWEST)
        chosen = np.sort(np.random.default_rng(seed).choice(len(kept), size, replace=False))
        watch = Watch(profile, window=size, **options)  # type: ignore[arg-type]
        windows = [watch.judge([kept[at] for at in chosen])]
    now = through.rows()
    if not set(now.features) & set(profile.rows.features):
        raise InputError(
            f"the reference knows {_few(profile.rows.features)}, and what came has {_few(now.features)}",
            "compare like with like: pictures with pictures, rows with rows of the same columns",
        )
    return Watched(
        tuple(windows), _changed(windows), now, through.seen, through.pace, through.picks(), through.strange()
    )


def _few(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:4]) + (f" and {len(every) - 4} more" if len(every) > 4 else "")


def _windows(profile: Profile, through: _Through, window: int | None, options: dict[str, object]) -> Iterator[Window]:
    """The windows of a stream; one that is shorter than a window is one window."""
    size, early = window_for(len(profile), window), list[Observation]()
    for one in through:
        early.append(one)
        if len(early) == size * profile.step:
            break
    else:
        held = early[:: profile.step]
        _enough(len(held), len(held), _FEWEST if window is None else size, profile.step)
        yield Watch(profile, window=len(held), **options).judge(held)  # type: ignore[arg-type]
        return
    watch = Watch(profile, window=size, **options)  # type: ignore[arg-type]
    for several in (early, through):
        for one in several:
            if (found := watch.take(one)) is not None:
                through.end_of_window()
                yield found


def _enough(count: int, size: int, least: int, step: int = 1) -> None:
    if size < least:
        told = f" (one in {step} is taken, as the reference was)" if step > 1 else ""
        raise InputError(
            f"{count} observations to judge{told}; at least {least} are needed",
            "give more of it, or a smaller --window",
        )


def _changed(windows: Sequence[Window]) -> tuple[str, ...]:
    """The features whose alarm went on; where there are fewer windows than that takes, those that were always news."""
    on = min(ON, len(windows))
    names = dict.fromkeys(name for window in windows for name in window.drifted)
    changed = []
    for name in names:
        alarm = Hysteresis(on, 1)
        if any(alarm.take(name in window.drifted) for window in windows):
            changed.append(name)
    return tuple(changed)


@final
class _Through:
    """Lets observations pass, and keeps of them what the report and the list will want."""

    def __init__(self, profile: Profile, shown: Iterable[Shown], label: int, in_windows: bool) -> None:
        self._shown, self._novelty = iter(shown), Novelty(profile)
        self._picker = Picker(profile, label) if label else None
        self._kept: list[Observation] = []
        self._step, self.seen, self._in_windows = 1, 0, in_windows
        self._first = self._last = 0.0
        self._best: tuple[float, int, Strange] | None = None
        self._strange: list[tuple[float, int, Strange]] = []

    def __iter__(self) -> _Through:
        return self

    def __next__(self) -> Observation:
        one, picture = next(self._shown)
        if self.seen % self._step == 0:
            self._kept.append(one)
            if len(self._kept) == MOST:
                self._kept, self._step = self._kept[::2], 2 * self._step
        self._first, self._last = (self._first if self.seen else one.seconds), one.seconds
        self.seen += 1
        if self._picker is not None:
            self._picker.take(one)
        parts = self._novelty.parts(one)
        value = math.sqrt(sum(part * part for part in parts.values()) / max(1, len(parts)))
        if value > self._least() and (packed := picture()) is not None:
            far = sorted(parts, key=lambda name: -parts[name])[:_NAMED]
            why = ", ".join(f"{name} {one.numbers[name]:.3g}" if name in one.numbers else name for name in far)
            self._best = value, self.seen, Strange(packed, f"{one.source} {one.request}: {why}".strip())
            if not self._in_windows:
                self.end_of_window()
        return one

    @property
    def pace(self) -> float:
        """Seconds from one observation to the next, on average."""
        return (self._last - self._first) / max(1, self.seen - 1)

    def _least(self) -> float:
        """What a frame must be more than to be kept: the best of its window, or the least of all that are kept."""
        if self._in_windows:
            return self._best[0] if self._best is not None else -1.0
        return self._strange[0][0] if len(self._strange) == _STRANGE else -1.0

    def end_of_window(self) -> None:
        """Begin to look for the strangest frame anew."""
        if self._best is not None:
            heapq.heappush(self._strange, self._best)
            if len(self._strange) > _STRANGE:
                heapq.heappop(self._strange)
        self._best = None

    def rows(self) -> Rows:
        return Rows.of(self._kept)

    def picks(self) -> tuple[Pick, ...]:
        return tuple(self._picker.best()) if self._picker is not None else ()

    def strange(self) -> tuple[Strange, ...]:
        self.end_of_window()
        return tuple(strange for _, _, strange in sorted(self._strange, reverse=True))

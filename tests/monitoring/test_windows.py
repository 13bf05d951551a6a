"""Windows over streams: the stated rate of false alarms, changes that are seen, alarms that do not flicker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import remembered, street

from throughline.contracts.errors import InputError
from throughline.contracts.observations import Observation
from throughline.monitoring.profile import Profile, profile_of
from throughline.monitoring.windows import WINDOW, Hysteresis, Watch
from throughline.testing.world import Look, World

STREET = World(7, 160, 96)


@cache
def usual_street() -> Profile:
    return profile_of(street(STREET, 0, 600))


def test_of_windows_in_which_nothing_is_new_one_in_a_hundred_has_news_and_fewer_an_alarm() -> None:
    windows = []
    for seed in range(8):
        every = list(remembered(1000 + 50 * WINDOW, seed))
        windows += Watch(profile_of(every[:1000])).over(every[1000:])
    assert len(windows) == 400
    # 1 in 100 is what is stated; more than 11 in 400 would come by chance once in a thousand times
    assert sum(bool(one.drifted) for one in windows) <= 11
    assert sum(len(one.raised) for one in windows) <= 1


def test_a_street_on_which_nothing_changes_raises_no_alarm() -> None:
    windows = Watch(usual_street()).over(street(STREET, 600, 10 * WINDOW))
    assert len(windows) == 10
    assert sum(bool(one.drifted) for one in windows) <= 1
    assert not any(one.raised for one in windows)


@pytest.mark.parametrize(
    ("look", "mixed", "feature"),
    [
        (Look(light=0.7), False, "brightness"),
        (Look(blur=1.0), False, "sharpness"),
        (Look(density=2.0), False, "objects"),
        (Look(), True, "share of bicycle"),
    ],
    ids=["light", "blur", "density", "class mix"],
)
def test_a_street_that_changed_raises_an_alarm_within_three_windows(look: Look, mixed: bool, feature: str) -> None:
    windows = Watch(usual_street()).over(street(replace(STREET, look=look), 4000, 3 * WINDOW, mixed=mixed))
    assert feature in windows[-1].alarms
    assert any(feature in one.raised for one in windows)
    assert not windows[-1].verdict("reference", "now").passed


def test_an_alarm_goes_on_after_two_windows_and_off_after_two() -> None:
    every = list(remembered(1000, 3))
    watch = Watch(profile_of(every), window=50)
    later = [
        *remembered(100, 4, start=1000),
        *remembered(200, 5, shift=3.0, start=1100),
        *remembered(250, 6, start=1300),
    ]
    windows = watch.over(later)
    on = ["number 0" in one.alarms for one in windows]
    assert on == [False, False, False, True, True, True, True, False, False, False, False]
    assert "number 0" in windows[3].raised
    assert "number 0" in windows[7].cleared
    assert set(windows[4].drifted) >= {"number 0", "light", "look"}
    assert (windows[2].start, windows[2].end, windows[2].requests[0]) == (1100.0, 1149.0, "1100")


def test_values_that_stop_coming_and_features_that_nobody_knows_are_told() -> None:
    watch = Watch(profile_of(remembered(1000)), window=50)

    def without() -> Iterator[Observation]:
        for one in remembered(100, 9):
            figures = {name: value for name, value in one.numbers.items() if name != "number 3"}
            yield replace(one, numbers={**figures, "number 99": 1.0})

    for window in watch.over(without()):
        assert window.drifted == ("number 3",)
        assert [one.detector for one in window.judged if one.drifted] == ["missing"]
        assert window.unknown == ("number 99",)
    assert watch.alarms == ("number 3",)


def test_streams_are_taken_at_the_pace_of_their_reference() -> None:
    profile = profile_of(remembered(3000), most=1000)
    assert (profile.step, len(profile)) == (4, 750)
    watch = Watch(profile, window=50)
    windows = watch.over(remembered(400, 2))
    assert len(windows) == 2
    assert windows[0].requests[:3] == ("0", "4", "8")


def test_windows_may_overlap() -> None:
    watch = Watch(profile_of(remembered(600)), window=50, hop=10)
    assert [one.start for one in watch.over(remembered(80, 1))] == [0.0, 10.0, 20.0, 30.0]


def test_several_detectors_may_judge_each_feature() -> None:
    watch = Watch(profile_of(remembered(600)), window=50, detectors=("ks", "psi", "page_hinkley"))
    [window] = watch.over(remembered(50, 1, shift=3.0))
    assert {one.detector for one in window.judged if one.feature == "number 0"} == {
        "ks", "psi", "page_hinkley", "missing",
    }  # fmt: skip
    assert {one.detector for one in window.judged if one.feature == "light"} == {"psi", "missing"}
    assert all(one.drifted for one in window.judged if one.feature == "number 0" and one.detector != "missing")


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_hysteresis_changes_only_after_a_run(over: list[bool], on: int, off: int) -> None:
    alarm, before = Hysteresis(on, off), False
    for at, one in enumerate(over):
        now = alarm.take(one)
        run = over[max(0, at + 1 - (off if before else on)) : at + 1]
        if now != before:
            assert len(run) == (off if before else on)
            assert all(value != before for value in run)
        elif len(run) == (off if before else on):
            assert now == before
        before = now


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"window": 400}, "too few"),
        ({"window": 1}, "too few"),
        ({"alpha": 0.0}, "alpha"),
        ({"hop": 99}, "hop"),
        ({"on": 0}, "goes on after 0"),
        ({"detectors": ("no_such",)}, "no drift detector"),
        ({"detectors": ("mmd",), "window": 601}, "too few"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        Watch(profile_of(remembered(600)), **options)  # type: ignore[arg-type]
    assert caught.value.fix

"""Profiles: bounded, evenly spread, written whole, read back the same, and refused where they were changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import MODEL, remembered

from throughline.contracts.errors import InputError
from throughline.contracts.observations import Observation
from throughline.monitoring.profile import Profile, profile_of, profile_path, read_profile
from throughline.monitoring.windows import Watch


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    every = list(remembered(300))
    every[5] = replace(every[5], numbers={**every[5].numbers, "number 1": float("nan")}, categories={}, vector=None)
    profile = profile_of(every, data="street", data_sha256="d" * 64)
    path = profile.write(tmp_path / "model.profile.json")
    again = read_profile(path)
    assert (again.seen, again.step, again.ordered, again.model) == (300, 1, True, MODEL)
    assert (again.data, again.data_sha256, again.sha256) == ("street", "d" * 64, profile.sha256)
    for name, column in profile.rows.features.items():
        np.testing.assert_array_equal(again.rows.features[name], column)
    later = list(remembered(120, 5, shift=1.0))
    said = [[repr(window) for window in Watch(one, window=30).over(later)] for one in (profile, again)]
    assert said[0] == said[1]


@given(st.integers(20, 700), st.integers(40, 90))
def test_a_stream_is_thinned_evenly_and_bounded(count: int, most: int) -> None:
    every = [Observation(str(at), float(at), numbers={"a": float(at)}) for at in range(count)]
    profile = profile_of(every, most=most)
    assert profile.seen == count
    assert len(profile) < most or profile.step == 1
    assert len(profile) >= min(count, most // 2)
    np.testing.assert_array_equal(profile.rows.seconds, np.arange(0, count, profile.step)[: len(profile)])


def test_rows_without_an_order_are_drawn_alike_from_everywhere() -> None:
    every = [Observation(str(at), float(at), numbers={"a": float(at)}) for at in range(5000)]
    profile = profile_of(every, ordered=False, most=500)
    assert (len(profile), profile.step) == (500, 1)
    assert abs(float(profile.rows.seconds.mean()) - 2500) < 250
    assert np.array_equal(profile.rows.seconds, profile_of(every, ordered=False, most=500).rows.seconds)


def test_too_little_is_refused() -> None:
    with pytest.raises(InputError, match="street: 19 observations; at least 20"):
        profile_of(remembered(19), data="street")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"seen": 300', '"seen": 301'),
        lambda text: "[]",
        lambda text: '{"kind": "throughline profile 1"}',
        lambda text: json.dumps({**json.loads(text), "kind": "something else"}),
        lambda text: "[" * 100_000,
    ],
)
def test_a_profile_that_was_changed_is_refused(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    path = profile_of(remembered(300)).write(tmp_path / "a.profile.json")
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=r"a\.profile\.json: ") as caught:
        read_profile(path)
    assert "make it again" in caught.value.fix


def test_it_lies_beside_its_model() -> None:
    assert profile_path(Path("models/street.onnx")) == Path("models/street.profile.json")


def test_endless_numbers_are_missing_ones() -> None:
    every = [replace(one, numbers={"a": float("inf") if at % 2 else 1.0}) for at, one in enumerate(remembered(40))]
    profile: Profile = profile_of(every)
    assert int(np.isnan(profile.rows.numbers["a"]).sum()) == 20

"""MOTA, IDF1 and HOTA against TrackEval, on made-up walks and on what people get wrong."""

from __future__ import annotations

import contextlib
import io
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.evaluation.tracks import score_tracks

trackeval = pytest.importorskip("trackeval.metrics")

Frames = list[Detections]


def boxes(xyxy: np.ndarray, identities: np.ndarray, kinds: np.ndarray | None = None) -> Detections:
    kinds = np.zeros(len(xyxy), np.int64) if kinds is None else kinds
    return Detections(xyxy.astype(np.float32), np.ones(len(xyxy), np.float32), kinds, tracker_id=identities)


def walks(seed: int, frames: int, objects: int, noise: float, unsteady: float) -> tuple[Frames, Frames]:
    """Objects that cross one another's way; tracks of them that miss, drift, swap, break, double and see ghosts."""
    chance = np.random.default_rng(seed)
    at, pace = chance.uniform(0, 80, (objects, 2)), chance.normal(0, 4, (objects, 2))
    size, kinds = chance.uniform(10, 40, (objects, 2)), chance.integers(0, 2, objects)
    name = np.arange(objects) + 100
    found, truth = [], []
    for frame in range(frames):
        here = chance.random(objects) < 0.9
        place = at + pace * frame
        real = np.hstack((place, place + size))
        truth.append(boxes(real[here], np.arange(objects)[here] * 7, kinds[here]))
        swapped = chance.random(objects) < unsteady
        name = np.where(swapped, chance.permutation(name), name)
        name = np.where(chance.random(objects) < unsteady / 2, name + 1000, name)
        first_of_its_name = np.isin(np.arange(objects), np.unique(name, return_index=True)[1])
        seen, double = (chance.random(objects) < 0.85) & first_of_its_name, chance.random(objects) < 0.4
        drift = np.vstack((real[seen], real[double]))
        ghosts = int(chance.poisson(0.5))
        corner = chance.uniform(0, 80, (ghosts, 2))
        found.append(
            boxes(
                np.vstack((drift + chance.normal(0, noise, drift.shape), np.hstack((corner, corner + 20)))),
                np.concatenate(
                    (name[seen], np.flatnonzero(double) + 50_000, 900_000 + frame * 100 + np.arange(ghosts))
                ),
                np.concatenate((kinds[seen], kinds[double], np.zeros(ghosts, np.int64))),
            )
        )
        if chance.random() < 0.1:
            found[-1] = Detections.empty()
        if chance.random() < 0.1:
            truth[-1] = Detections.empty()
    return found, truth


def by_trackeval(found: Frames, truth: Frames, overlap: float) -> dict[str, Any]:
    def numbered(side: Frames) -> tuple[list[np.ndarray], int]:
        rows: dict[int, int] = {}
        ids = [[rows.setdefault(i, len(rows)) for i in ([] if f.tracker_id is None else f.tracker_id)] for f in side]
        return [np.array(one, int) for one in ids], len(rows)

    alike = []
    for seen, real in zip(found, truth, strict=True):
        table = np.zeros((len(real), len(seen)))
        for i, (a, kind) in enumerate(zip(real.xyxy.astype(float), real.class_id, strict=True)):
            for j, (b, other) in enumerate(zip(seen.xyxy.astype(float), seen.class_id, strict=True)):
                wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
                if kind == other and wide > 0 and high > 0:
                    common = wide * high
                    whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
                    table[i, j] = common / whole
        alike.append(table)
    (real_ids, real_count), (our_ids, our_count) = numbered(truth), numbered(found)
    data = {
        "num_timesteps": len(truth), "num_gt_ids": real_count, "num_tracker_ids": our_count,
        "num_gt_dets": sum(map(len, truth)), "num_tracker_dets": sum(map(len, found)),
        "gt_ids": real_ids, "tracker_ids": our_ids, "similarity_scores": alike,
    }  # fmt: skip
    plain = {"PRINT_CONFIG": False, "THRESHOLD": overlap}
    with contextlib.redirect_stdout(io.StringIO()):
        metrics = [trackeval.CLEAR(plain), trackeval.Identity(plain), trackeval.HOTA()]
        return {name: value for metric in metrics for name, value in metric.eval_sequence(data).items()}


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 25), st.integers(0, 9), st.sampled_from([0.5, 2.0, 6.0]),
    st.sampled_from([0.0, 0.05, 0.3]), st.sampled_from([0.3, 0.5, 0.75]),
)  # fmt: skip
@settings(max_examples=120)
def test_every_figure_is_that_of_trackeval(
    seed: int, frames: int, objects: int, noise: float, unsteady: float, overlap: float
) -> None:
    found, truth = walks(seed, frames, objects, noise, unsteady)
    ours, theirs = score_tracks(found, truth, overlap=overlap), by_trackeval(found, truth, overlap)
    assert (ours.misses, ours.false_alarms, ours.switches) == (theirs["CLR_FN"], theirs["CLR_FP"], theirs["IDSW"])
    assert ours.boxes == sum(map(len, truth))
    assert ours.frames == frames
    if ours.boxes:
        assert ours.mota == pytest.approx(theirs["MOTA"], abs=1e-9)
        assert ours.idf1 == pytest.approx(theirs["IDF1"], abs=1e-9)
        for name in ("HOTA", "DetA", "AssA"):
            assert getattr(ours, name.lower()) == pytest.approx(theirs[name].mean(), abs=1e-9)
    else:
        assert math.isnan(ours.mota)


def test_the_made_up_walks_hold_what_is_hard() -> None:
    """If every track were whole, or none, agreeing on them would mean little."""
    scores = [score_tracks(*walks(seed, 25, 8, 1.0, 0.05)) for seed in range(10)]
    assert all(one.switches and one.misses and one.false_alarms for one in scores)
    assert all(0.2 < one.idf1 < 0.9 for one in scores)


def at(x: float) -> np.ndarray:
    return np.array([[x, 0, x + 10, 10]])


def test_a_perfect_result_scores_one() -> None:
    truth = [boxes(at(x), np.array([5])) for x in range(4)]
    scores = score_tracks([boxes(at(x), np.array([77])) for x in range(4)], iter(truth))
    assert (scores.mota, scores.idf1, scores.hota) == (1.0, 1.0, pytest.approx(1.0))
    assert (scores.objects, scores.boxes, scores.misses, scores.false_alarms, scores.switches) == (1, 4, 0, 0, 0)


def test_one_switch_costs_mota_a_box_and_idf1_the_shorter_half() -> None:
    truth = [boxes(at(x), np.array([5])) for x in range(10)]
    scores = score_tracks([boxes(at(x), np.array([1 if x < 6 else 2])) for x in range(10)], truth)
    assert (scores.mota, scores.idf1, scores.switches) == (0.9, 0.6, 1)
    assert (scores.objects, scores.tracks) == (1, 2)


def test_the_right_place_and_the_wrong_class_is_a_miss_and_a_false_alarm() -> None:
    scores = score_tracks([boxes(at(0), np.array([1]), np.array([3]))], [boxes(at(0), np.array([1]))])
    assert (scores.mota, scores.idf1, scores.hota) == (-1.0, 0.0, 0.0)


def test_nothing_to_follow_is_no_score() -> None:
    nothing = score_tracks([Detections.empty()], [Detections.empty()])
    assert all(map(math.isnan, (nothing.mota, nothing.idf1, nothing.hota)))
    ghosts = score_tracks([boxes(at(0), np.array([1]))], [Detections.empty()])
    assert math.isnan(ghosts.mota)
    assert (ghosts.idf1, ghosts.hota, ghosts.false_alarms) == (0.0, 0.0, 1)
    missed = score_tracks([Detections.empty()], [boxes(at(0), np.array([1]))])
    assert (missed.mota, missed.idf1, missed.hota) == (0.0, 0.0, 0.0)
    assert score_tracks([], []).frames == 0


def test_what_cannot_be_compared_is_refused() -> None:
    truth = boxes(at(0), np.array([1]))
    bare = Detections(truth.xyxy, truth.confidence, truth.class_id)
    with pytest.raises(InputError, match="none of the 2 boxes of the results has an identity"):
        score_tracks([bare, bare], [truth, truth])
    with pytest.raises(InputError, match="frame 1: a box of the truth has no identity"):
        score_tracks([truth, truth], [truth, bare])
    with pytest.raises(InputError, match="frame 0: one identity is twice in the truth"):
        score_tracks([truth], [boxes(np.vstack((at(0), at(9))), np.array([4, 4]))])
    with pytest.raises(InputError, match="frame 0 is in the truth and not in the results"):
        score_tracks([], [truth])
    with pytest.raises(InputError, match="overlap is 0"):
        score_tracks([truth], [truth], overlap=0)


def test_what_was_not_followed_and_what_is_no_object_is_left_out() -> None:
    followed = boxes(at(0), np.array([1]))
    two = boxes(np.vstack((at(0), at(40))), np.array([1, -1]))
    assert score_tracks([two], [followed]) == score_tracks([followed], [followed])
    whole = Detections(
        np.float32([[0, 0, 99, 99]]), np.float32([1]), np.array([0]), data={"of_frame": np.array([True])}
    )
    scored = score_tracks([followed, whole], [followed, Detections.empty()])
    assert (scored.misses, scored.false_alarms) == (0, 0)

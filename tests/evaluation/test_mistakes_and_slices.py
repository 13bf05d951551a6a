"""Mistakes are named for what they are, and parts of the data are measured on their own."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError, MissingExtra
from throughline.contracts.samples import Sample
from throughline.evaluation.classes import Choices
from throughline.evaluation.mistakes import confused_boxes
from throughline.evaluation.slices import fairness, light_of, slice_pictures, values_of
from throughline.evaluation.tally import AccuracyTally, tally

LABELS = ("person", "car", "dog")


def boxes(*rows: tuple[int, float, float, float, float], sure: tuple[float, ...] = ()) -> Detections:
    xyxy = np.array([row[1:] for row in rows], np.float32).reshape(-1, 4)
    confidence = np.float32(sure or [1.0] * len(rows))
    return Detections(xyxy, confidence, np.array([row[0] for row in rows], np.int64), labels=LABELS)


def test_each_mistake_is_named_for_what_it_is() -> None:
    truth = boxes((0, 0, 0, 10, 10), (1, 20, 0, 40, 20), (2, 50, 0, 60, 10), (0, 70, 0, 100, 30))
    found = boxes(
        (0, 0, 0, 10, 9), (2, 20, 0, 40, 19), (1, 0, 50, 9, 60), (1, 50, 0, 60, 10), (2, 50, 0, 60, 9),
        sure=(0.9, 0.8, 0.7, 0.6, 0.2),
    )  # fmt: skip
    table = confused_boxes([found], [truth])
    assert table.names == ("person", "car", "dog", "nothing")
    assert table.counts.tolist() == [[1, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert [(one.said, one.real, round(one.confidence, 1)) for one in table.worst("wrong class")] == [
        ("dog", "car", 0.8), ("car", "dog", 0.6),
    ]  # fmt: skip
    assert [(one.said, one.box) for one in table.worst("false alarm")] == [("car", (0.0, 50.0, 9.0, 60.0))]
    assert [(one.real, one.area, one.there) for one in table.worst("missed")] == [
        ("person", 900.0, (70.0, 0.0, 100.0, 30.0))
    ]


def test_an_object_goes_to_a_box_of_its_class_even_if_another_fits_better() -> None:
    table = confused_boxes([boxes((1, 0, 0, 10, 10), (0, 0, 0, 10, 8), sure=(0.9, 0.5))], [boxes((0, 0, 0, 10, 10))])
    assert table.counts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert [one.kind for one in table.mistakes] == ["false alarm"]


def test_what_lies_in_a_crowd_is_no_mistake() -> None:
    crowd = boxes((0, 0, 0, 100, 100))
    real = Detections(crowd.xyxy, crowd.confidence, crowd.class_id, data={"crowd": np.array([True])}, labels=LABELS)
    table = confused_boxes([boxes((0, 10, 10, 20, 20), (1, 90, 90, 140, 140))], [real])
    assert [(one.kind, one.said) for one in table.mistakes] == [("false alarm", "car")]


def test_a_table_of_many_classes_keeps_those_that_are_mistaken_most() -> None:
    names = tuple(f"kind {number}" for number in range(40))
    rows = np.arange(40)
    xyxy = np.stack([rows * 20, rows * 0, rows * 20 + 10, rows * 0 + 10], axis=1).astype(np.float32)
    truth = Detections(xyxy, np.ones(40, np.float32), rows, labels=names)
    said = np.where(rows == 7, 9, rows)
    found = Detections(xyxy, np.ones(40, np.float32), said, labels=names)
    whole = confused_boxes([found], [truth])
    small = whole.busiest(6)
    assert len(small.names) == 6
    assert {"kind 7", "kind 9", "35 others"} <= set(small.names)
    assert small.counts.sum() == 40
    assert small.counts[small.names.index("kind 7"), small.names.index("kind 9")] == 1
    assert whole.busiest(40) is whole


def samples(**traits: list[str | float | None]) -> list[Sample]:
    count = len(next(iter(traits.values())))
    return [
        Sample(
            str(at), lambda: np.zeros((4, 4, 3), np.uint8), "", None,
            {name: values[at] for name, values in traits.items() if values[at] is not None},
        )
        for at in range(count)
    ]  # fmt: skip


def test_traits_are_words_few_numbers_or_stretches_of_many() -> None:
    few = samples(camera=["a", "b", None], lane=[1.0, 2.0, 2.0])
    assert values_of(few, "camera") == ["a", "b", "not known"]
    assert values_of(few, "lane") == ["1", "2", "2"]
    hours = values_of(samples(hour=[float(hour) for hour in range(30)]), "hour")
    assert {hours.count(name) for name in set(hours)} == {10}
    assert hours[0].startswith("up to ")
    with pytest.raises(InputError, match="no picture of this data has such a trait") as told:
        values_of(few, "camra")
    assert "did you mean 'camera'" in told.value.fix


def test_light_is_how_bright_a_picture_is() -> None:
    assert [light_of(np.full((8, 8, 3), grey, np.uint8)) for grey in (10, 100, 200)] == ["dark", "medium", "bright"]


def test_the_worst_gap_is_named_and_said_to_be_clear_or_not() -> None:
    right = np.array([True] * 90 + [False] * 10 + [True] * 50 + [False] * 50 + [True] * 4 + [False] * 1)
    values = ["day"] * 100 + ["night"] * 100 + ["dusk"] * 5
    split = slice_pictures(AccuracyTally(right), "light", values, resamples=400)
    assert [(one.name, one.figure.samples) for one in split.slices] == [("day", 100), ("dusk", 5), ("night", 100)]
    assert (split.best, split.worst, split.clear) == ("day", "night", True)
    assert split.gap.value == pytest.approx(0.4)
    assert 0.2 < split.gap.low < 0.4 < split.gap.high < 0.6
    chance = slice_pictures(AccuracyTally(right[:100]), "half", ["a", "b"] * 50, resamples=400)
    assert not chance.clear


def test_a_slice_of_boxes_is_the_metric_of_its_pictures_alone() -> None:
    truth = [boxes((0, 0, 0, 10, 10)), boxes((1, 0, 0, 10, 10)), boxes((0, 0, 0, 10, 10))]
    found = [truth[0], boxes((0, 0, 0, 10, 10)), boxes((0, 0, 0, 10, 6))]
    split = slice_pictures(tally("detect", found, truth), "camera", ["a", "a", "b"], resamples=50)
    by_hand = [tally("detect", found[:2], truth[:2]).value(), tally("detect", found[2:], truth[2:]).value()]
    assert [one.figure.value for one in split.slices] == pytest.approx(by_hand)
    empty = slice_pictures(tally("detect", [boxes()], [boxes()]), "camera", ["a"], resamples=5)
    assert (empty.best, empty.worst, empty.clear) == ("", "", False)


def choices() -> tuple[Choices, list[str]]:
    chance = np.random.default_rng(1)
    true = chance.integers(0, 3, 300)
    group = chance.choice(["a", "b"], 300)
    said = np.where((group == "b") & (true == 1) & (chance.random(300) < 0.5), 2, true)
    return Choices(true, said, np.ones(300), dict(enumerate(LABELS))), group.tolist()


def test_fairness_is_fairlearns_for_the_class_where_it_is_worst() -> None:
    answers, groups = choices()
    found = fairness(answers, "group", groups)
    about = {"y_true": answers.true == 1, "y_pred": answers.said == 1, "sensitive_features": groups}
    assert found.kind == "car"
    assert found.equalized_odds == pytest.approx(equalized_odds_difference(**about))
    assert found.demographic_parity == pytest.approx(demographic_parity_difference(**about))
    assert found.accuracy["a"] == 1.0 > found.accuracy["b"]
    assert found.selection["a"] > found.selection["b"]


def test_without_fairlearn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "fairlearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fairlearn.metrics", None)
    with pytest.raises(MissingExtra, match="needs fairlearn"):
        fairness(choices()[0], "group", choices()[1])

"""Classification figures are scikit-learn's, and calibration is what its definition says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.evaluation.classes import Choices, score_classes
from throughline.evaluation.mistakes import confused_classes

LABELS = ("cat", "dog", "horse", "owl")


def picture(*kinds: int, sure: tuple[float, ...] = (1.0,)) -> Detections:
    whole = np.tile(np.float32([0, 0, 8, 8]), (len(kinds), 1))
    data = {"of_frame": np.ones(len(kinds), np.bool_)}
    return Detections(whole, np.float32(sure[: len(kinds)]), np.array(kinds, np.int64), data=data, labels=LABELS)


def made_up(seed: int, count: int) -> tuple[list[Detections], list[Detections], np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    true = chance.integers(0, int(chance.integers(1, 5)), count)
    said = np.where(chance.random(count) < 0.6, true, chance.integers(0, 4, count))
    sure = chance.random(count)
    found = [picture(one, sure=(value,)) for one, value in zip(said.tolist(), sure.tolist(), strict=True)]
    return found, [picture(one) for one in true.tolist()], true, said


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
@settings(max_examples=60)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_every_figure_is_that_of_scikit_learn(seed: int, count: int) -> None:
    found, truth, true, said = made_up(seed, count)
    scores = score_classes(found, truth)
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(true, said))
    assert scores.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(true, said))
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(true, said, average="macro", zero_division=0))
    kinds = sorted({*true.tolist(), *said.tolist()})
    precision, recall, f1, support = metrics.precision_recall_fscore_support(true, said, labels=kinds, zero_division=0)
    for at, kind in enumerate(kinds):
        one = scores.classes[LABELS[kind]]
        assert (one.precision, one.f1, one.pictures) == (
            pytest.approx(precision[at]), pytest.approx(f1[at]), support[at],
        )  # fmt: skip
        assert one.recall == pytest.approx(recall[at] if support[at] else float("nan"), nan_ok=True)
    table = confused_classes(Choices.of(found, truth))
    assert table.counts.tolist() == metrics.confusion_matrix(true, said, labels=kinds).tolist()
    assert table.names == tuple(LABELS[kind] for kind in kinds)


def test_calibration_is_the_mean_distance_between_being_sure_and_being_right() -> None:
    found = [picture(0, sure=(0.9,)) for _ in range(10)] + [picture(0, sure=(0.5,)) for _ in range(10)]
    truth = [picture(0)] * 6 + [picture(1)] * 4 + [picture(0)] * 5 + [picture(1)] * 5
    scores = score_classes(found, truth)
    assert scores.calibration_error == pytest.approx(0.15)
    assert [(one.confidence, one.accuracy, one.pictures) for one in scores.reliability] == [
        (pytest.approx(0.5), 0.5, 10), (pytest.approx(0.9), 0.6, 10),
    ]  # fmt: skip
    assert score_classes([picture(0)] * 5, [picture(0)] * 5).calibration_error == 0.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
@settings(max_examples=40)
def test_figures_of_draws_are_those_of_repeated_pictures(seed: int, count: int) -> None:
    found, truth, _, _ = made_up(seed, count)
    counts = np.random.default_rng(seed).integers(0, 4, count)
    choices = Choices.of(found, truth)
    rows = np.repeat(np.arange(count), counts)
    again = Choices(choices.true[rows], choices.said[rows], choices.sure[rows], choices.names)
    once = np.ones((len(rows), 1), np.int64)
    for drawn, repeated in zip(choices.of_classes(counts[:, None]), again.of_classes(once), strict=True):
        assert drawn == pytest.approx(repeated, nan_ok=True)


def test_the_most_probable_class_counts_and_silence_is_wrong() -> None:
    found = [picture(2, 1, sure=(0.2, 0.7)), Detections.empty(LABELS)]
    scores = score_classes(found, [picture(1), picture(0)])
    assert scores.accuracy == 0.5
    table = confused_classes(Choices.of(found, [picture(1), picture(0)]))
    assert table.names == ("cat", "dog", "nothing")
    assert table.counts.tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert [(one.said, one.real) for one in table.mistakes] == [("nothing", "cat")]
    with pytest.raises(InputError, match="no pictures"):
        score_classes([], [])
    with pytest.raises(InputError, match="picture 0: the truth names 2 classes"):
        score_classes([picture(0)], [picture(0, 1, sure=(1.0, 1.0))])

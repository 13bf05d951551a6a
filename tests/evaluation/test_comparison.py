"""What is decided, and said, of two models whose answers are known."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from throughline.contracts.artifacts import Artifact, Passport, TensorSpec
from throughline.contracts.detections import Detections
from throughline.contracts.errors import InputError
from throughline.contracts.tables import Table
from throughline.evaluation.comparison import Comparison, Question, compare_models, said_of
from throughline.evaluation.comparison_parts import Split
from throughline.evaluation.differing import differing
from throughline.evaluation.masks import Regions
from throughline.evaluation.non_inferiority import compare_tallies
from throughline.evaluation.run_comparison import compare_figures, compare_runs
from throughline.evaluation.score_files import paired, read_scores
from throughline.evaluation.scored import ScoreTally
from throughline.evaluation.tabular import RowAnswers, ask_rows, features_of, row_tallies
from throughline.evaluation.tally import AccuracyTally, RegionTally, tally
from throughline.stats.discordance import Discordance, difference_interval, mcnemar
from throughline.stats.paired import t_test, wilcoxon

QUICK = Question(resamples=200)


def answers(lost: int, won: int, both: int, neither: int = 0) -> tuple[AccuracyTally, AccuracyTally]:
    first = np.repeat([True, False, True, False], [lost, won, both, neither])
    second = np.repeat([False, True, True, False], [lost, won, both, neither])
    return AccuracyTally(first), AccuracyTally(second)


@pytest.mark.parametrize(
    ("lost", "won", "samples", "margin", "decision"),
    [
        (2, 30, 400, "1%", "better"),
        (5, 7, 4000, "1%", "not worse"),
        (30, 2, 400, "1%", "worse"),
        (8, 5, 4000, "0.5%", "not worse"),
        (10, 12, 400, "1%", "cannot tell"),
        (400, 200, 4000, "10%", "not worse"),
    ],
)
def test_the_decision_is_where_the_interval_lies(lost: int, won: int, samples: int, margin: str, decision: str) -> None:
    found = compare_models(*answers(lost, won, samples - lost - won), Question(margin, resamples=200))
    assert found.decision == decision
    assert found.passed == (decision in ("better", "not worse"))
    counted = Discordance(lost, won, samples)
    assert (found.difference.low, found.difference.high) == difference_interval(counted)
    assert found.difference.p == mcnemar(counted).p == found.tests[0].p
    assert [one.name for one in found.tests] == ["McNemar", "paired bootstrap"]
    assert [one.name for one in found.effects] == ["risk difference", "odds ratio", "Cohen's dz"]
    verdict = found.verdict("a", "b")
    assert (verdict.subjects, verdict.passed) == (("a", "b"), found.passed)
    assert verdict.checks[0].observed == found.difference.low


def test_sentences_say_what_is_known_and_what_to_do() -> None:
    def told(lost: int, won: int, samples: int) -> str:
        return said_of(compare_models(*answers(lost, won, samples - lost - won), QUICK), "old", "new")

    assert told(2, 30, 400) == (
        "new is better than old: accuracy 0.9950 against 0.9250, 0.0700 more "
        "(95 % from +0.0458 to +0.1007, on 400 pictures)."
    )
    assert told(5, 7, 4000).startswith("new is not worse than old by more than 0.0100: ")
    assert told(30, 2, 400).startswith("new is worse than old: accuracy 0.9250 against 0.9950, 0.0700 less")
    assert told(10, 12, 400).startswith("Cannot tell whether new is better than old: ")
    assert told(10, 12, 400).endswith("more pictures.")


def test_the_pictures_that_it_asks_for_are_enough_four_times_of_five() -> None:
    chance = np.random.default_rng(0)
    first, second = answers(12, 14, 374)
    found = compare_models(first, second, Question("2%", resamples=200))
    assert found.decision == "cannot tell"
    assert found.more is not None
    whole = len(first) + found.more
    decided = []
    for _ in range(300):
        lost, won, _ = chance.multinomial(whole, (12 / 400, 14 / 400, 374 / 400))
        low, _ = difference_interval(Discordance(int(lost), int(won), whole))
        decided.append(low >= -found.margin)
    assert np.mean(decided) == pytest.approx(0.8, abs=0.06)


def test_nothing_can_be_lost_within_no_margin_by_models_that_seem_alike() -> None:
    found = compare_models(*answers(10, 10, 400), Question("0", resamples=200))
    assert (found.decision, found.more) == ("cannot tell", None)
    assert "no number of pictures" in said_of(found, "old", "new")


def boxes(shift: float, objects: int = 3, pictures: int = 40, seed: int = 0) -> list[Detections]:
    chance, many = np.random.default_rng(seed), np.random.default_rng(9)
    made = []
    for _ in range(pictures):
        corner = many.uniform(0, 300, (objects, 2))
        xyxy = np.hstack([corner, corner + 60]) + chance.normal(0, shift, (objects, 4))
        kinds = np.arange(objects, dtype=np.int64) % 2
        made.append(
            Detections(xyxy.astype(np.float32), np.full(objects, 0.9, np.float32), kinds, labels=("car", "dog"))
        )
    return made


@pytest.fixture(scope="module")
def shaky() -> Comparison:
    truth = boxes(0)
    first, second = (tally("detect", boxes(shift, seed=1), truth) for shift in (3.0, 6.0))
    return compare_models(first, second, QUICK, splits=[Split("camera", ["left", "right"] * 20)])


def test_average_precision_has_the_bootstraps_interval_on_the_same_draws_as_non_inferiority(shaky: Comparison) -> None:
    truth = boxes(0)
    first, second = (tally("detect", boxes(shift, seed=1), truth) for shift in (3.0, 6.0))
    held = compare_tallies(first, second, "1%", resamples=200)
    assert (held.decision, shaky.decision) == ("failed", "worse")
    assert shaky.difference.value == held.difference
    # Student's quantile and one degree of freedom less: never narrower in sum than the middle 95 % of the draws
    assert shaky.difference.high - shaky.difference.low == pytest.approx(held.high - held.low, rel=0.15)
    assert shaky.difference.p < 0.001


def test_classes_and_slices_are_compared_and_corrected_together(shaky: Comparison) -> None:
    assert [(part.trait, part.name) for part in shaky.parts] == [
        ("class", "car"), ("class", "dog"), ("camera", "left"), ("camera", "right"),
    ]  # fmt: skip
    assert [part.samples for part in shaky.parts] == [40, 40, 20, 20]
    for part in shaky.parts:
        assert part.difference.p <= part.corrected <= 4 * part.difference.p
        assert part.candidate - part.reference == pytest.approx(part.difference.value)
        assert part.clear


def test_classes_that_hardly_any_picture_shows_are_named() -> None:
    truth = boxes(0)
    truth[3] = replace(truth[3], class_id=truth[3].class_id + 2)
    sides = [tally("detect", boxes(shift), truth) for shift in (3.0, 4.0)]
    found = compare_models(sides[0], sides[1], QUICK)
    assert found.notes[0].startswith("2 of 4 classes are on fewer than 5 pictures each (2, 3); mAP50-95 counts them")


def test_frames_of_few_videos_do_not_pass_for_many_pictures() -> None:
    first, second = answers(2, 30, 368)
    order = np.random.default_rng(0).permutation(400)
    first, second = first.part(order), second.part(order)
    assert compare_models(first, second, QUICK).unit == "picture"
    alone = compare_models(first, second, QUICK, groups=["one"] * 400)
    assert (alone.decision, alone.unit, alone.more) == ("cannot tell", "video", 4)
    assert said_of(alone, "old", "new").endswith("on 1 video; label pictures of about 4 more videos.")
    many = compare_models(first, second, QUICK, groups=[f"video {row // 20}" for row in range(400)])
    assert (many.unit, many.difference.units) == ("video", 20)
    assert [one.name for one in many.tests] == ["paired bootstrap"]


def test_models_that_answer_alike_everywhere_are_as_sure_as_there_are_pictures() -> None:
    truth = boxes(0)
    same = tally("detect", boxes(3.0, seed=1), truth)
    found = compare_models(same, same, QUICK)
    assert found.difference.high == pytest.approx(1 - 0.025 ** (1 / 40))
    assert (found.decision, found.difference.low) == ("cannot tell", -found.difference.high)
    assert found.more is not None
    assert 1 - 0.025 ** (1 / (40 + found.more)) <= found.margin
    equal = compare_models(*answers(0, 0, 350, 34), QUICK)
    assert equal.decision == "cannot tell"
    assert equal.more is not None
    assert compare_models(*answers(0, 0, 350 + equal.more, 34), QUICK).decision == "not worse"
    assert "equally right on every picture" in found.notes[0]
    assert math.isnan(found.power)  # nothing has shown how much pictures scatter
    assert math.isnan(compare_models(*answers(0, 0, 50), QUICK).power)
    scores = ScoreTally("log loss", np.ones(30))
    assert compare_models(scores, scores, Question(bounded=False, resamples=50)).decision == "cannot tell"


def test_regions_are_compared_by_class_too() -> None:
    chance = np.random.default_rng(0)
    whole = chance.integers(50, 100, (30, 2))
    sides = [
        RegionTally(Regions({0: "road", 1: "sky"}, (whole * share).astype(np.int64), whole))
        for share in (0.8 + 0 * whole, 0.8 + np.array([0.0, 0.1]) * chance.random((30, 2)))
    ]
    found = compare_models(sides[0], sides[1], QUICK)
    assert found.metric == "mIoU"
    assert found.decision == "better"
    assert [(part.name, part.clear) for part in found.parts] == [("road", False), ("sky", True)]


def test_where_less_is_better_a_smaller_error_is_a_gain() -> None:
    chance = np.random.default_rng(0)
    before = chance.exponential(1, 100)
    after = before - 0.2 + chance.normal(0, 0.1, 100)
    question = Question(less_is_better=True, bounded=False, sample="row", resamples=200)
    found = compare_models(ScoreTally("error", before), ScoreTally("error", after), question)
    assert (found.decision, found.difference.value < 0) == ("better", True)
    assert found.tests[0] == t_test(after - before)
    assert [one.name for one in found.tests] == ["paired t", "Wilcoxon", "paired bootstrap"]
    observed = found.verdict("a", "b").checks[0].observed
    assert observed == -found.difference.high
    back = compare_models(ScoreTally("error", after), ScoreTally("error", before), question)
    assert back.decision == "worse"


def test_what_cannot_be_compared_is_refused() -> None:
    first, second = answers(1, 1, 8)
    with pytest.raises(InputError, match="cannot be compared with"):
        compare_models(first, ScoreTally("error", np.ones(10)))
    with pytest.raises(InputError, match="the margin is '-1'"):
        compare_models(first, second, Question("-1"))
    nothing = tally("detect", boxes(0), [Detections.empty()] * 40)
    with pytest.raises(InputError, match="nothing to measure mAP50-95 on"):
        compare_models(nothing, nothing)


def test_runs_are_compared_by_runs_and_by_pictures() -> None:
    truth = boxes(0)
    sides = [[tally("detect", boxes(shift, seed=seed), truth) for seed in range(4)] for shift in (3.0, 6.0)]
    found = compare_runs(sides[0], sides[1], QUICK)
    assert (found.decision, found.unit, found.samples, found.difference.units) == ("worse", "run", 40, 8)
    alone = compare_figures(
        "mAP50-95", *(np.array([one.value() for one in side]) for side in sides), Question(resamples=200)
    )
    assert found.difference.value == pytest.approx(alone.difference.value)
    assert [one.name for one in found.tests] == ["t over runs and samples", "Welch"]
    assert found.tests[1].p == alone.difference.p
    assert found.difference.error >= alone.difference.error
    assert "from the choice of runs" in found.notes[0]
    near = [[tally("detect", boxes(3.0, seed=seed), truth) for seed in seeds] for seeds in ((1, 2), (3, 4))]
    close = compare_runs(near[0], near[1], QUICK)
    assert close.decision == "cannot tell"
    assert "train" in said_of(close, "old", "new")
    with pytest.raises(InputError, match="too few to compare runs on"):
        compare_runs(near[0], near[1], QUICK, groups=["one"] * 40)


def test_the_pictures_shown_are_those_that_one_model_has_right_and_the_other_wrong() -> None:
    truth = boxes(0, pictures=10)
    worse = [one if number not in (3, 7) else one[:0] for number, one in enumerate(truth)]
    shown = differing(truth, truth, worse)
    assert {one.picture for one in shown} == {3, 7}
    assert (shown[0].reference, shown[0].candidate) == ("3 found, 0 missed, 0 false", "0 found, 3 missed, 0 false")
    assert differing(truth, truth, truth) == []


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_scores_are_paired_by_their_names_in_whatever_order_and_form(tmp_path: Path) -> None:
    first = read_scores(write(tmp_path / "a.csv", "name,loss,camera\nx,1.5,left\ny,2.5,right\nz,3,left\n"))
    second = read_scores(write(tmp_path / "b.json", '{"metric": "loss", "scores": {"z": 30, "x": 10, "q": 5}}'))
    notes: list[str] = []
    one, two = paired(first, second, notes)
    assert (one.names, one.values.tolist(), two.values.tolist()) == (("x", "z"), [1.5, 3.0], [10.0, 30.0])
    assert one.traits == {"camera": ["left", "left"]}
    assert one.less_is_better
    assert notes == ["2 samples are in one file only and were left out"]
    plain = read_scores(write(tmp_path / "c.json", "[0.5, 0.75]"))
    assert (plain.names, plain.metric, plain.less_is_better) == (None, "score", False)
    with pytest.raises(InputError, match=r"has 'loss' and .* 'score'"):
        paired(first, plain, notes)
    named = read_scores(write(tmp_path / "d.csv", "name,score\nx,0.5\ny,0.75\n"))
    for pair in ((named, plain), (plain, named)):
        with pytest.raises(InputError, match=r"d\.csv names its scores and .*c\.json does not"):
            paired(*pair, notes)


@pytest.mark.parametrize(
    ("metric", "less"),
    [("val/rmse", True), ("mase", True), ("sMAPE", True), ("time", True), ("ms per frame", True), ("logloss", True),
     ("brier", True), ("accuracy", False), ("mAP50-95", False), ("score", False), ("timeliness", False)],
)  # fmt: skip
def test_an_error_or_a_time_is_known_by_its_name(tmp_path: Path, metric: str, less: bool) -> None:
    scores = read_scores(write(tmp_path / "a.json", json.dumps({"metric": metric, "scores": [1, 2]})))
    assert scores.less_is_better == less


def test_a_name_of_any_length_is_read_or_refused(tmp_path: Path) -> None:
    limit = csv.field_size_limit(1000)
    try:
        with pytest.raises(InputError, match="line 2: field larger than"):
            read_scores(write(tmp_path / "a.csv", f"name,score\n{'x' * 2000},1\n"))
    finally:
        csv.field_size_limit(limit)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "name,score\n", "1 lines; a head and at least one row are needed"),
        ("a.csv", "name,score\nx,1\ny\n", "line 3: 1 cells under 2 names"),
        ("a.csv", "name,score\n\n\nx,1\ny\n", "line 5: 1 cells under 2 names"),
        ("a.json", '{"metric": "name", "scores": {"x": 1}}', "the metric is called 'name'"),
        ("a.json", '{"metric": "seed", "scores": [1, 2]}', "the metric is called 'seed'"),
        ("a.csv", "name,score\nx,1\nx,2\n", "'x' is there 2 times"),
        ("a.csv", "name,a,b\nx,1,2\n", "2 columns could be the scores: a, b"),
        ("a.csv", "name,a\nx,good\n", "0 columns could be the scores"),
        ("a.csv", "score,score\n1,2\n", "two columns have one name"),
        ("a.json", "{", "not JSON"),
        ("a.json", "{}", "it holds no scores"),
        ("a.json", '{"x": "much"}', "score 1: \"not a number: 'much'\" is no number"),
        ("a.json", "[1, NaN]", "score 2: 'nan' is no number"),
    ],
)
def test_what_holds_no_scores_says_why(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        read_scores(write(tmp_path / name, text))
    assert says in refused.value.problem


TABLE = Table("t.csv", {"a": np.array([1.0, 2, 3]), "kind": np.array(["x", "y", "z"], object)}, "kind", "0" * 64)


def known(labels: tuple[str, ...]) -> Artifact:
    return Artifact(Path("m.onnx"), Passport("m.onnx", "0" * 64, 1, "onnx", labels=labels), False)


def test_rows_are_right_by_the_name_of_their_class_whatever_its_number() -> None:
    shares = np.array([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]])
    said = RowAnswers(np.array([1, 0, 0]), shares, None)
    made = row_tallies(TABLE, known(("y", "x")), said)
    assert list(made) == ["accuracy", "log loss"]
    assert made["accuracy"].value() == pytest.approx(2 / 3)  # the model does not know z
    assert made["log loss"].value() == pytest.approx(-(math.log(0.9) + math.log(0.8) + math.log(1e-7)) / 3)
    with pytest.raises(InputError, match="have no name in common"):
        row_tallies(TABLE, known(("p", "q")), said)
    numbers = Table("t.csv", {"a": TABLE.columns["a"], "sum": np.array([1.0, 2, 5])}, "sum", "0" * 64)
    errors = row_tallies(numbers, known(()), RowAnswers(None, None, np.array([1.0, 3, 3])))
    assert errors["absolute error"].value() == 1.0
    with pytest.raises(InputError, match="nobody has said which column"):
        row_tallies(Table("t.csv", TABLE.columns, None, ""), known(()), said)
    with pytest.raises(InputError, match="'kind' is text"):
        row_tallies(TABLE, known(()), RowAnswers(None, None, np.ones(3)))


class Rows:
    """Says of each row its sum, under a name."""

    inputs = (TensorSpec("X", "float32", ("batch", 2)),)
    outputs = (TensorSpec("values", "float32", ("batch", 1)),)

    def predict(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"values": feeds["X"].sum(axis=1, keepdims=True)}

    def close(self) -> None: ...


def test_a_model_is_asked_about_the_tables_numbers_alone() -> None:
    rows = Table("t.csv", {"a": np.array([1, 2]), "b": np.array([0.5, 0.25]), "c": np.array([3, 4])}, "c", "")
    features = features_of(rows)
    assert features.tolist() == [[1, 0.5], [2, 0.25]]
    assert ask_rows(Rows(), features).values is not None
    assert ask_rows(Rows(), features).values.tolist() == [1.5, 2.25]  # type: ignore[union-attr]
    with pytest.raises(InputError, match="the model takes 2 columns and the table has 3"):
        ask_rows(Rows(), np.ones((2, 3)))
    with pytest.raises(InputError, match="the column 'kind' is text"):
        features_of(Table("t.csv", TABLE.columns, "a", ""))


def test_a_difference_that_is_the_same_on_each_of_a_few_samples_is_no_certainty() -> None:
    def shifted(many: int, shift: float) -> Comparison:
        sides = ScoreTally("score", np.zeros(many)), ScoreTally("score", np.full(many, shift))
        return compare_models(*sides, Question(bounded=False, sample="sample", resamples=50))

    assert [shifted(many, 1.0).decision for many in (2, 3, 5, 6, 20)] == ["cannot tell"] * 3 + ["better"] * 2
    assert (shifted(5, 1.0).more, shifted(6, -1.0).decision) == (1, "worse")
    assert shifted(3, 0.1).decision == "cannot tell", "0.1 three times has a mean that is not 0.1"
    assert shifted(6, 1.0).difference.p == wilcoxon(np.ones(6)).p == 2 * 0.5**6
    for many, decision in ((5, "cannot tell"), (6, "better")):
        truth = boxes(0, pictures=many)
        empty = tally("detect", [one[:0] for one in truth], truth)
        found = compare_models(empty, tally("detect", truth, truth), QUICK)
        assert found.decision == decision
        assert found.difference.low == pytest.approx(1 - 2 * (1 - 0.025 ** (1 / many)))
        assert [part.difference.p for part in found.parts] == [2 * 0.5**many] * 2
        assert not any(part.clear for part in found.parts), "of two classes"
        assert compare_models(tally("detect", truth, truth), empty, QUICK).decision == decision.replace(
            "better", "worse"
        )
    assert "1.0000 apart on every picture" in found.notes[0]


def test_five_videos_that_two_classifiers_answer_alike_are_five() -> None:
    first, second = answers(0, 0, 80, 20)
    found = compare_models(first, second, QUICK, groups=[f"video {row // 20}" for row in range(100)])
    assert (found.decision, found.difference.high) == ("cannot tell", pytest.approx(1 - 0.025 ** (1 / 5)))
    assert found.notes[0].startswith("the two are equally right on every video")


def test_a_margin_is_never_below_nothing_and_is_bounded_for_runs_as_for_models() -> None:
    chance = np.random.default_rng(0)
    before = -100 + chance.normal(0, 1, 40)
    after = before - 0.5 + chance.normal(0, 0.1, 40)
    found = compare_models(ScoreTally("score", before), ScoreTally("score", after), Question(bounded=False))
    assert (found.decision, found.margin) == ("not worse", pytest.approx(1.0, rel=0.01))
    runs = np.array([0.7, 0.71, 0.72])
    with pytest.raises(InputError, match=r"the margin is '1\.5'"):
        compare_figures("accuracy", runs, runs - 0.5, Question("1.5"))
    assert compare_figures("score", runs, runs - 0.5, Question("1.5", bounded=False)).decision == "not worse"


def test_a_picture_without_anything_on_it_shows_who_saw_something_there() -> None:
    truth = boxes(0, pictures=4)
    nothing = [*truth[:2], truth[2][:0], truth[3]]
    shown = differing(nothing, nothing, truth)
    assert [(one.picture, one.candidate) for one in shown] == [(2, "0 found, 0 missed, 3 false")]
    assert shown[0].gain < 0

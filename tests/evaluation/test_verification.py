"""The whole proof: what it is made of, what it says, and what it costs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

sys.path.append(str(Path(__file__).parents[1] / "faults"))

import architectures
from edits import carried, edited, set_weights, streets

from throughline.bundled import DETECTOR, WEIGHTS
from throughline.contracts.artifacts import Step
from throughline.contracts.errors import InputError
from throughline.contracts.samples import DataSet
from throughline.evaluation.degradation import Degradation
from throughline.evaluation.non_inferiority import NonInferiority
from throughline.evaluation.seeded import natural_pictures, seeded_arrays
from throughline.evaluation.verification import Verification, main_precision, verify_models
from throughline.evaluation.verify_report import write_report
from throughline.models.artifact import read_artifact
from throughline.models.precision import LayerPrecision, Precisions

ROOM = "throughline.testing.demo_detector:build"


def failed(found: Verification) -> set[str]:
    return {check.name for check in found.verdict.checks if not check.passed}


@pytest.fixture(scope="module")
def pictures() -> DataSet:
    return streets(3)


def test_the_verdict_is_about_the_two_files_and_covers_every_kind_of_check(pictures: DataSet) -> None:
    model = read_artifact(DETECTOR)
    found = verify_models(model, model, data=pictures, asked="float32", max_degradation="1%")
    assert found.verdict.passed
    assert found.exit_code == 0
    assert found.verdict.subjects == (model.sha256, model.sha256)
    names = [check.name for check in found.verdict.checks]
    for beginning in ("numeric output0", "batch of 4", "open axes", "matched", "task metric", "precision", "metadata"):
        assert any(name.startswith(beginning) for name in names), beginning
    assert "proven" in str(found)
    assert found.inputs == "3 pictures of streets"


def test_weights_alone_are_a_reference_with_what_builds_their_network() -> None:
    found = verify_models(read_artifact(WEIGHTS), read_artifact(DETECTOR), class_=ROOM)
    assert failed(found) == set()
    assert "seeded pictures" in found.inputs


def test_an_undecided_metric_fails_where_it_was_asked_for_and_says_how_many_pictures_it_takes() -> None:
    undecided = NonInferiority("mAP50-95", 0.5, 0.499, -0.001, -0.02, 0.018, 0.005, "undecided", 900, 1000)
    (check,) = Degradation(undecided, asked=True).checks
    assert not check.passed
    assert "900 more pictures would tell" in str(check.observed)
    assert Degradation(undecided, asked=False).checks == []
    lost = replace(undecided, decision="failed", more_samples=0)
    assert [check.passed for check in Degradation(lost, asked=False).checks] == [False]


def test_metric_without_labels_is_said_not_to_be_measured(pictures: DataSet) -> None:
    bare = replace(pictures, samples=[replace(sample, truth=None) for sample in pictures])
    model = read_artifact(DETECTOR)
    found = verify_models(model, model, data=bare, max_degradation="1%")
    assert any("nobody has labelled" in note for note in found.notes)


def test_arrays_are_fed_by_name_and_what_is_missing_is_said(tmp_path: Path) -> None:
    model = architectures.perceptron(tmp_path)
    rows = {"row": np.random.default_rng(0).normal(0, 2, (5, 16)).astype(np.float32)}
    assert verify_models(model, model, arrays=rows).inputs == "5 rows of the arrays given"
    with pytest.raises(InputError, match="the model takes row float32"):
        verify_models(model, model, arrays={"line": rows["row"]})


def test_pictures_for_a_model_that_takes_none_are_refused(tmp_path: Path, pictures: DataSet) -> None:
    model = architectures.recurrent(tmp_path)
    with pytest.raises(InputError, match="which no picture fills"):
        verify_models(model, model, data=pictures)


def test_an_unknown_precision_is_refused_with_the_nearest(tmp_path: Path) -> None:
    model = architectures.perceptron(tmp_path)
    with pytest.raises(InputError, match="did you mean 'float16'"):
        verify_models(model, model, asked="fp16")


def test_a_tolerance_given_by_hand_holds(tmp_path: Path) -> None:
    reference = architectures.perceptron(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    candidate = edited(reference, other, lambda m: set_weights(m, "third.bias", lambda b: b + 0.01))
    assert "numeric third.add: beyond tolerance" in failed(verify_models(reference, candidate))
    assert failed(verify_models(reference, candidate, atol=0.02, rtol=0.0)) <= {"numeric third.add: cosine"}


def test_a_model_that_was_taught_anew_is_proven_by_its_task_or_not_at_all(pictures: DataSet) -> None:
    model = read_artifact(DETECTOR)
    bare = verify_models(model, model, steps=(Step("prune", {"share": 0.3}),))
    assert failed(bare) == {"task metric"}
    proven = verify_models(model, model, data=pictures, steps=(Step("prune", {"share": 0.3}),))
    assert failed(proven) == set()
    assert proven.outputs == ()


def test_a_batch_that_the_reference_mixes_too_is_no_fault_of_the_candidate(tmp_path: Path) -> None:
    from onnx import helper

    reference = architectures.perceptron(tmp_path)
    model = onnx.load(reference.path)
    model.graph.node[0].input[0] = "centred"
    model.graph.node.insert(0, helper.make_node("ReduceMean", ["row"], ["mean"], axes=[0], name="mean"))
    model.graph.node.insert(1, helper.make_node("Sub", ["row", "mean"], ["less"], name="less"))
    model.graph.node.insert(2, helper.make_node("Add", ["less", "row"], ["centred"], name="centred"))
    onnx.save(model, tmp_path / "mixing.onnx")
    mixing = carried(tmp_path / "mixing.onnx", reference)
    found = verify_models(mixing, mixing)
    assert failed(found) == set()
    assert any("in the reference, too" in note for note in found.notes)


def test_the_precision_it_is_judged_by_is_the_least_exact_that_counts() -> None:
    def made(**work: int) -> Precisions:
        return Precisions(tuple(LayerPrecision(name, "Conv", name, size) for name, size in work.items()))

    assert main_precision(made(float32=100)) == "float32"
    assert main_precision(made(float32=50, int8=50)) == "int8"
    assert main_precision(made(float32=20, float16=80)) == "float16"
    assert main_precision(Precisions((), "an engine")) == "float32"


def test_seeded_inputs_are_the_same_each_time_and_fit_the_file(tmp_path: Path) -> None:
    model = architectures.recurrent(tmp_path)
    first, second = seeded_arrays(model), seeded_arrays(model)
    assert first["series"].shape == (16, 12, 8)
    assert np.array_equal(first["series"], second["series"])
    one, other = (natural_pictures((48, 64), 1).samples[0].read() for _ in range(2))
    assert np.array_equal(one, other)
    spectrum = np.abs(np.fft.rfft2(one.mean(axis=2)))
    assert spectrum[1:4, 1:4].mean() > 10 * spectrum[20:24, 20:24].mean()


def test_the_page_holds_the_checks_the_shares_and_the_worst_pictures(tmp_path: Path, pictures: DataSet) -> None:
    reference = read_artifact(DETECTOR)
    candidate = edited(reference, tmp_path, lambda m: set_weights(m, "middle.0.0.weight", lambda w: w * 0.5))
    found = verify_models(reference, candidate, data=pictures)
    page = write_report(tmp_path / "report.html", found).read_text()
    assert "NOT PROVEN" in page
    assert "Where they part" in page
    assert "share of multiply-accumulates" in page
    assert page.count("data:image/jpeg") == len(found.worst) > 0

"""An alias moves on evidence about these two models, and on no other; each refusal has its own sentence."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, ModelRefused
from throughline.contracts.verdicts import Check, Verdict
from throughline.evaluation.evidence import write_evidence
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.registry.promotion import promote, roll_back
from throughline.registry.registering import register
from throughline.registry.stores.mlflow import MlflowStore
from throughline.registry.trail import read_trail
from throughline.registry.versions import AliasMoved, Record
from throughline.testing.stores import small_model

Model = Callable[[int], Artifact]


@pytest.fixture
def three(store: MlflowStore, model: Model) -> list[Artifact]:
    """Three versions, the first of them in use."""
    made = [model(number) for number in range(3)]
    for one in made:
        register(one.path, "street", store=store)
    promote(store, "street", 1)
    return made


def evidence(reference: Artifact, candidate: Artifact, *, passed: bool = True, name: str = "e.json") -> Path:
    verdict = Verdict((reference.sha256, candidate.sha256), (Check("mAP: least gain", 0.02, -0.01, passed),))
    sentence = "the candidate is better by 0.03 mAP" if passed else "the candidate is worse by 0.2 mAP"
    write_evidence(Path(name), verdict, data_sha256="d" * 64, metric="mAP", sentence=sentence, figures={"gain": 0.03})
    return Path(name)


def refusal(*args: object, **options: object) -> str:
    with pytest.raises(ModelRefused) as refused:
        promote(*args, **options)  # type: ignore[arg-type]
    assert refused.value.exit_code == 5
    assert "throughline compare" in refused.value.fix
    return refused.value.problem


def test_the_first_version_needs_no_evidence_and_is_written_down(store: MlflowStore, model: Model) -> None:
    register(model(0).path, "street", store=store)
    move = promote(store, "street", 1, reason="the first")
    assert (move.before, move.after, move.notes) == (None, 1, ())
    assert dict(store.aliases("street")) == {"champion": 1}
    (entry,) = read_trail(store.entries("street")).entries
    assert (entry.action, entry.before, entry.after, entry.reason) == ("promote", None, 1, "the first")


def test_a_better_one_is_promoted_and_the_evidence_is_kept(store: MlflowStore, three: list[Artifact]) -> None:
    shown = evidence(three[0], three[1])
    move = promote(store, "street", 2, evidence=shown)
    assert (move.before, move.after) == (1, 2)
    assert move.entry is not None
    assert move.entry.found == "the candidate is better by 0.03 mAP"
    assert store.evidence("street", move.entry.evidence) == shown.read_text()
    assert read_artifact("models:/street@champion").sha256 == three[1].sha256


def test_one_that_is_there_already_is_left_there_and_nothing_is_written(
    store: MlflowStore, three: list[Artifact]
) -> None:
    assert promote(store, "street", 1).entry is None
    assert len(store.entries("street")) == 1


def test_without_evidence_it_is_refused(store: MlflowStore, three: list[Artifact]) -> None:
    assert "nothing shows this one to be as good" in refusal(store, "street", 2)


def test_a_comparison_that_did_not_pass_is_refused_in_its_own_words(store: MlflowStore, three: list[Artifact]) -> None:
    shown = evidence(three[0], three[1], passed=False)
    assert "did not pass: the candidate is worse by 0.2 mAP" in refusal(store, "street", 2, evidence=shown)


def test_evidence_about_another_candidate_is_refused(store: MlflowStore, three: list[Artifact]) -> None:
    shown = evidence(three[0], three[2])
    assert f"its candidate is {three[2].sha256[:12]}" in refusal(store, "street", 2, evidence=shown)


def test_evidence_about_another_reference_is_stale(store: MlflowStore, three: list[Artifact], model: Model) -> None:
    shown = evidence(three[1], three[2])
    problem = refusal(store, "street", 3, evidence=shown)
    assert "is stale: it compares with version 2, and 'champion' points to version 1 now" in problem
    assert "no version of 'street'" in refusal(store, "street", 3, evidence=evidence(model(9), three[2]))


def test_evidence_that_was_true_before_the_alias_moved_is_stale(store: MlflowStore, three: list[Artifact]) -> None:
    early = evidence(three[0], three[2])
    promote(store, "street", 2, evidence=evidence(three[0], three[1], name="other.json"))
    assert "is stale: it compares with version 1" in refusal(store, "street", 3, evidence=early)


def test_evidence_does_not_bring_back_what_was_rolled_back_after_it(store: MlflowStore, three: list[Artifact]) -> None:
    shown = evidence(three[0], three[1])
    promote(store, "street", 2, evidence=shown)
    roll_back(store, "street", reason="bad in the rain")
    assert "after that comparison version 2 was taken off 'champion'" in refusal(store, "street", 2, evidence=shown)
    promote(store, "street", 2, evidence=evidence(three[0], three[1], name="anew.json"))


def test_evidence_that_was_changed_is_refused(store: MlflowStore, three: list[Artifact]) -> None:
    shown = evidence(three[0], three[1], passed=False)
    body = json.loads(shown.read_text())
    body["verdict"]["checks"][0]["passed"] = True
    shown.write_text(json.dumps(body))
    assert "was changed after it was written" in refusal(store, "street", 2, evidence=shown)


def test_evidence_of_another_machine_is_taken_on_trust_only(
    store: MlflowStore, three: list[Artifact], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
        shown = evidence(three[0], three[1])
    assert "this machine did not write it" in refusal(store, "street", 2, evidence=shown)
    assert "on trust" in promote(store, "street", 2, evidence=shown, trust=True).notes[0]


def test_what_is_no_evidence_is_an_input_error(store: MlflowStore, three: list[Artifact]) -> None:
    Path("text.json").write_text("{}")
    for path in ("text.json", "missing.json"):
        with pytest.raises(InputError):
            promote(store, "street", 2, evidence=Path(path))


def test_force_needs_a_reason_and_both_are_written_down_with_what_stood_against_it(
    store: MlflowStore, three: list[Artifact]
) -> None:
    with pytest.raises(InputError, match="nobody would know why"):
        promote(store, "street", 2, force=True, reason="  ")
    shown = evidence(three[2], three[1], passed=False)
    promote(store, "street", 2, evidence=shown, force=True, reason="the old one leaks")
    entry = read_trail(store.entries("street")).entries[-1]
    assert entry.reason == "the old one leaks"
    assert len(entry.overridden) == 2
    assert "did not pass" in entry.overridden[0]


def test_somebody_who_moves_the_alias_by_other_means_meanwhile_is_noticed(
    store: MlflowStore, three: list[Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = evidence(three[0], three[1])
    move = store.move

    def overtaken(name: str, alias: str, expected: int | None, to: int, record: Record) -> None:
        store._client.set_registered_model_alias(name, alias, "3")  # plain MLflow, between our look and our move
        move(name, alias, expected, to, record)

    monkeypatch.setattr(store, "move", overtaken)
    with pytest.raises(AliasMoved, match="somebody moved 'champion' meanwhile, from version 1 to version 3"):
        promote(store, "street", 2, evidence=shown)
    assert dict(store.aliases("street")) == {"champion": 3}
    assert len(store.entries("street")) == 1


def test_an_alias_that_was_taken_away_is_held_to_what_it_pointed_to_last(
    store: MlflowStore, three: list[Artifact]
) -> None:
    store._client.delete_registered_model_alias("street", "champion")
    assert "points to version 1" in refusal(store, "street", 2)
    promote(store, "street", 2, evidence=evidence(three[0], three[1]))


def test_a_version_whose_files_were_changed_is_not_promoted(store: MlflowStore, three: list[Artifact]) -> None:
    kept = Path(store.version("street", 2).native.source) / three[1].path.name
    small_model(kept, 99)
    shutil.rmtree(Path(read_artifact("models:/street/1").path).parents[1])  # the cache
    with pytest.raises(ModelRefused, match="is not what was registered"):
        promote(store, "street", 2, evidence=evidence(three[0], three[1]))
    assert register(three[1].path, "street", store=store)[0].number == 2  # which puts them back
    promote(store, "street", 2, evidence=evidence(three[0], three[1]))


def test_a_cached_file_that_was_changed_is_fetched_again(store: MlflowStore, three: list[Artifact]) -> None:
    cached = read_artifact("models:/street/2").path
    small_model(cached, 99)
    assert read_artifact("models:/street/2").sha256 == three[1].sha256


def test_a_record_that_was_changed_stops_promotions_until_somebody_answers_for_it(
    store: MlflowStore, three: list[Artifact]
) -> None:
    text = store.entries("street")[1].replace('"after":1', '"after":2')
    store._client.set_registered_model_tag("street", "throughline.history.000001", text)
    shown = evidence(three[0], three[1])
    assert "tampered with: move 1 was changed" in refusal(store, "street", 2, evidence=shown)
    with pytest.raises(ModelRefused, match="cannot say what was before"):
        roll_back(store, "street")
    promote(store, "street", 2, evidence=shown, force=True, reason="looked into it")


def test_versions_that_share_a_file_are_not_told_apart_by_its_hash(store: MlflowStore, project: Path) -> None:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save_model

    made = []
    for number in (1, 2):
        weights = numpy_helper.from_array(np.full((32, 32), number, np.float32), "w")
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 32]) for name in "xy")
        graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "wide", [x], [y], [weights])
        network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        folder = project / str(number)
        folder.mkdir()
        save_model(network, folder / "m.onnx", save_as_external_data=True, location="weights", size_threshold=0)
        made.append(read_artifact(folder / "m.onnx"))
        register(folder / "m.onnx", "wide", store=store)
    assert made[0].sha256 == made[1].sha256
    assert len(store.versions("wide")) == 2
    promote(store, "wide", 1)
    shown = evidence(made[0], made[1])
    assert "they differ in the weights beside it" in refusal(store, "wide", 2, evidence=shown)


def test_rolling_back_goes_back_one_promotion_at_a_time_and_needs_no_evidence(
    store: MlflowStore, three: list[Artifact]
) -> None:
    promote(store, "street", 2, evidence=evidence(three[0], three[1]))
    promote(store, "street", 3, evidence=evidence(three[1], three[2]))
    assert roll_back(store, "street").after == 2
    assert roll_back(store, "street", reason="still bad").after == 1
    with pytest.raises(ModelRefused, match="nothing was there before version 1"):
        roll_back(store, "street")
    with pytest.raises(ModelRefused, match="nothing is written down of it"):
        roll_back(store, "street", "never")
    assert [entry.action for entry in read_trail(store.entries("street")).entries] == ["promote"] * 3 + ["rollback"] * 2
    assert read_artifact("models:/street@champion").sha256 == three[0].sha256


def test_rolling_back_what_somebody_moved_by_other_means_goes_to_what_was_written_down(
    store: MlflowStore, three: list[Artifact]
) -> None:
    store._client.set_registered_model_alias("street", "champion", "3")
    assert roll_back(store, "street").after == 1


@pytest.mark.parametrize("alias", ["", "latest", "Latest", "v3", "a b", "a/b", "x" * 200])
def test_an_alias_that_mlflow_would_not_take_is_refused(alias: str, store: MlflowStore) -> None:
    with pytest.raises(InputError, match="no alias"):
        promote(store, "street", 1, alias)


def test_a_passport_goes_with_its_model_and_each_name_has_its_own(store: MlflowStore, model: Model) -> None:
    for name, labels in (("street", ("a", "b", "c")), ("crossing", ("x", "y", "z"))):
        made = model(0)
        passports.issue(made.path, dataclasses.replace(made.passport, labels=labels), vouch=True)
        register(made.path, name, store=store)
        passports.path_of(made.path).unlink()
    register(model(0).path, "bare", store=store)
    for name, labels in (("street", ("a", "b", "c")), ("crossing", ("x", "y", "z"))):
        back = read_artifact(f"models:/{name}/1")
        assert back.labels == labels
        assert passports.holds(back.path) is None
    assert not read_artifact("models:/bare/1").issued

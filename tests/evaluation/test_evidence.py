"""Evidence: what is written is what is read, and what was changed or made elsewhere does not count."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from throughline.contracts.errors import InputError, ModelRefused
from throughline.contracts.verdicts import Check, Verdict
from throughline.evaluation.evidence import Evidence, read_evidence, write_evidence
from throughline.models import passport

REFERENCE, CANDIDATE, DATA = "a" * 64, "b" * 64, "c" * 64
VERDICT = Verdict((REFERENCE, CANDIDATE), (Check("mAP50-95: least gain", -0.002, -0.005, True),))


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Evidence]:
    path = tmp_path / "evidence.json"
    figures = {"difference": 0.01, "p": float("nan")}
    return path, write_evidence(
        path, VERDICT, data_sha256=DATA, metric="mAP50-95", sentence="It is better.", figures=figures, created=5.0
    )


def test_what_is_read_is_what_was_written(written: tuple[Path, Evidence]) -> None:
    path, evidence = written
    again = read_evidence(path)
    assert again == evidence
    assert (again.reference, again.candidate, again.passed, again.created) == (REFERENCE, CANDIDATE, True, 5.0)
    assert again.figures == {"difference": 0.01}
    assert again.sealed_here


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))
    return path


def fail(body: dict[str, Any]) -> None:
    body["verdict"]["checks"][0]["passed"] = False


@pytest.mark.parametrize(
    "change", [fail, lambda body: body.update(created=6.0), lambda body: body.update(checksum="0" * 64)]
)
def test_what_was_changed_is_refused_even_where_it_is_trusted(
    written: tuple[Path, Evidence], change: Callable[[dict[str, Any]], object]
) -> None:
    path = changed(written[0], change)
    for trust in (False, True):
        with pytest.raises(ModelRefused, match="it was changed after it was written"):
            read_evidence(path, trust=trust)


def test_another_machines_word_counts_only_where_somebody_trusts_it(
    written: tuple[Path, Evidence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
    with pytest.raises(ModelRefused, match="this machine did not write it"):
        read_evidence(written[0])
    assert not read_evidence(written[0], trust=True).sealed_here
    changed(written[0], lambda body: body.update(seal=""))
    with pytest.raises(ModelRefused, match="this machine did not write it"):
        read_evidence(written[0])


def test_a_seal_of_something_else_is_none_of_evidence(written: tuple[Path, Evidence]) -> None:
    path, evidence = written
    changed(path, lambda body: body.update(seal=passport.seal_of(evidence.checksum)))
    with pytest.raises(ModelRefused, match="this machine did not write it"):
        read_evidence(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda body: body.update(evidence=2), "'evidence' is 2; this version reads 1"),
        (lambda body: body.pop("sentence"), "it lacks 'sentence'"),
        (lambda body: body.update(extra=1), "an unknown key 'extra'"),
        (lambda body: body.update(created="now"), "not a time"),
        (lambda body: body.update(figures={"p": "small"}), "not numbers by name"),
        (lambda body: body.update(metric=7), "'metric' is 7, not text"),
        (lambda body: body.update(data_sha256="abc"), "'data_sha256' is not one sha256"),
        (lambda body: body["verdict"].update(subjects=[REFERENCE]), "the candidate is not one sha256"),
        (lambda body: body["verdict"].update(subjects=[REFERENCE, CANDIDATE, DATA]), "the candidate is not one sha256"),
        (lambda body: body["verdict"]["checks"][0].update(passed="yes"), "not true or false"),
    ],
)
def test_what_is_no_evidence_says_why(
    written: tuple[Path, Evidence], change: Callable[[dict[str, Any]], object], says: str
) -> None:
    with pytest.raises(InputError, match="not the evidence of a comparison") as refused:
        read_evidence(changed(written[0], change))
    assert says in refused.value.problem


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_evidence(tmp_path / "none.json")
    for text in ("", "[]", "{}", '{"evidence": 1, "verdict": null}'):
        (tmp_path / "some.json").write_text(text)
        with pytest.raises(InputError, match="not the evidence of a comparison"):
            read_evidence(tmp_path / "some.json")


def test_a_verdict_on_one_file_cannot_be_kept(tmp_path: Path) -> None:
    one = Verdict((REFERENCE,), VERDICT.checks)
    with pytest.raises(InputError, match="cannot be kept as evidence"):
        write_evidence(tmp_path / "evidence.json", one, data_sha256=DATA, metric="mAP", sentence="It is.")
    assert not list(tmp_path.glob("*.json"))

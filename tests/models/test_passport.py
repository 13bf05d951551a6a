from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.contracts.artifacts import Passport, Step, TensorSpec
from throughline.contracts.errors import InputError, PassportMismatch
from throughline.contracts.verdicts import Check, Verdict
from throughline.models import passport as passports

SCHEMA = jsonschema.Draft202012Validator(json.loads(passports.SCHEMA.read_text()))

texts = st.text(max_size=8)
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9)
tensors = st.builds(TensorSpec, texts, texts, st.lists(st.integers() | texts, max_size=4).map(tuple))
checks = st.builds(Check, texts, numbers | texts, numbers | texts, st.booleans())
passports_of_any_kind = st.builds(
    Passport,
    file=st.just("model.onnx"),
    sha256=hashes,
    size=st.integers(0, 2**40),
    format=texts,
    companions=st.dictionaries(st.sampled_from(["model.bin", "weights.data"]), hashes),
    task=st.none() | texts,
    labels=st.lists(texts, max_size=3).map(tuple),
    decoder=st.none() | texts,
    imgsz=st.none() | st.tuples(st.integers(0, 9999), st.integers(0, 9999)),
    stride=st.none() | st.integers(0, 256),
    inputs=st.lists(tensors, max_size=2).map(tuple),
    outputs=st.lists(tensors, max_size=2).map(tuple),
    precision=st.none() | texts,
    licence=st.none() | texts,
    parent=st.none() | hashes,
    steps=st.lists(st.builds(Step, texts, st.dictionaries(texts, numbers | texts), texts), max_size=2).map(tuple),
    evidence=st.lists(
        st.builds(Verdict, st.lists(texts, max_size=2).map(tuple), st.lists(checks, max_size=2).map(tuple)), max_size=2
    ).map(tuple),
    machine=st.dictionaries(texts, texts, max_size=2),
    checksum=hashes,
    seal=st.just("") | hashes,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not really a model, but bytes are bytes")
    return path


def blank(model: Path) -> Passport:
    return Passport(file=model.name, sha256="", size=0, format="onnx")


@given(passports_of_any_kind)
def test_json_and_back_is_the_identity_and_the_schema_agrees(passport: Passport) -> None:
    body = json.loads(json.dumps(passports.to_json(passport)))
    SCHEMA.validate(body)
    assert passports.parse(body) == passport


junk = st.none() | st.booleans() | st.integers(-3, 3) | texts | st.lists(st.integers(), max_size=3) | st.just({"a": 1})


@given(passports_of_any_kind, st.data())
def test_the_reader_takes_exactly_what_the_schema_allows(passport: Passport, data: st.DataObject) -> None:
    body = json.loads(json.dumps(passports.to_json(passport)))
    place, broken = body, copy.deepcopy(body)
    place = broken
    while True:  # walk to a random place, and put junk there
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from([*keys, "extra"] if isinstance(place, dict) else keys))
        inner = place.get(key) if isinstance(place, dict) else place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        place = inner
    if isinstance(place, dict) and key in place and data.draw(st.booleans()):
        del place[key]
    else:
        place[key] = data.draw(junk)
    allowed = SCHEMA.is_valid(broken)
    try:
        passports.parse(broken)
        taken = True
    except (ValueError, KeyError, TypeError):
        taken = False
    assert taken == allowed, broken


def test_a_passport_that_matches_holds_on_the_machine_that_sealed_it(model: Path) -> None:
    issued = passports.issue(model, blank(model), vouch=True)
    assert passports.read(model) == issued
    passports.verify(model, issued)
    assert passports.holds(model) is None


def test_a_mismatch_says_that_the_file_changed(model: Path) -> None:
    passports.issue(model, blank(model), vouch=True)
    model.write_bytes(model.read_bytes() + b"!")
    assert "the file changed" in str(passports.holds(model))
    with pytest.raises(PassportMismatch, match=r"model\.onnx: the file changed after its passport was issued"):
        passports.verify(model, passports.read(model) or blank(model))


def test_a_mismatch_says_that_the_passport_changed(model: Path) -> None:
    passports.issue(model, blank(model), vouch=True)
    path = passports.path_of(model)
    body = json.loads(path.read_text())
    path.write_text(json.dumps({**body, "task": "classify"}))
    with pytest.raises(PassportMismatch, match=r"model\.passport\.json: the passport was edited"):
        passports.verify(model, passports.read(model) or blank(model))


def test_a_companion_that_changed_or_left_is_named(model: Path) -> None:
    weights = model.with_name("weights.data")
    weights.write_bytes(b"numbers")
    passports.issue(model, dataclasses.replace(blank(model), companions={weights.name: ""}), vouch=True)
    assert passports.holds(model) is None
    weights.write_bytes(b"other numbers")
    assert "weights.data: the file changed" in str(passports.holds(model))
    weights.unlink()
    assert "weights.data: missing" in str(passports.holds(model))


def test_a_stranger_cannot_seal(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "strangers-machine"))
    passports.issue(model, blank(model), vouch=True)
    assert passports.holds(model) is None
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "my-machine"))
    assert passports.holds(model) == "its passport was not sealed on this machine"
    assert not (tmp_path / "my-machine").exists(), "asking must not make a key"


def test_an_engine_of_another_gpu_does_not_hold(model: Path) -> None:
    passports.issue(model, dataclasses.replace(blank(model), machine={"gpu": "Imaginary 9000"}), vouch=True)
    assert "built for gpu Imaginary 9000" in str(passports.holds(model))


def test_siblings_of_one_stem_keep_a_passport_each(model: Path) -> None:
    sibling = model.with_suffix(".xml")
    sibling.write_text("<net/>")
    passports.issue(model, blank(model), vouch=True)
    passports.issue(sibling, dataclasses.replace(blank(sibling), format="openvino"), vouch=True)
    assert passports.path_of(model).name == "model.passport.json"
    assert passports.path_of(sibling).name == "model.xml.passport.json"
    assert passports.holds(model) is passports.holds(sibling) is None
    assert (passports.read(sibling) or blank(sibling)).format == "openvino"


def test_a_pair_that_was_renamed_together_still_matches(model: Path) -> None:
    passports.issue(model, blank(model), vouch=True)
    passports.path_of(model).rename(model.with_name("better.passport.json"))
    model.rename(model.with_name("better.onnx"))
    assert passports.holds(model.with_name("better.onnx")) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"passport": 1}', '{"passport": 2}', "[" * 100_000, "\x00"])
def test_what_is_not_a_passport_is_said_to_be_none(model: Path, text: str) -> None:
    model.with_name("model.passport.json").write_text(text)
    with pytest.raises(InputError, match=r"model\.passport\.json: not a passport"):
        passports.read(model)


def test_a_failed_write_leaves_nothing(model: Path) -> None:
    with pytest.raises(InputError, match="Out of range float"):
        passports.issue(
            model,
            dataclasses.replace(blank(model), evidence=(Verdict((), (Check("map", float("nan"), 0.5, False),)),)),
            vouch=False,
        )
    assert [path.name for path in model.parent.iterdir() if path.is_file()] == [model.name]


@pytest.mark.parametrize("wrong", [{"stride": -3}, {"imgsz": (0.5, 640)}, {"labels": (1,)}, {"parent": 7}])
def test_what_could_not_be_read_again_is_not_written(model: Path, wrong: dict) -> None:
    with pytest.raises(InputError, match=r"model\.onnx cannot have this passport"):
        passports.issue(model, dataclasses.replace(blank(model), **wrong), vouch=False)
    assert not passports.path_of(model).exists()

"""What a model says of itself, carried over or changed by a step that the passport names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from throughline.contracts.artifacts import Artifact, Passport, Step, TensorSpec
from throughline.evaluation.metadata import metadata_checks, recorded_steps

KNOWN = Passport(
    "model.onnx", "0" * 64, 1, "onnx",
    task="detect", labels=("cat", "dog"), decoder="yolo", imgsz=(384, 640), stride=32,
    inputs=(TensorSpec("images", "float32", ("batch", 3, "height", "width")),),
    outputs=(TensorSpec("output0", "float32", ("batch", 6, "anchors")),),
)  # fmt: skip
RIGHT = Artifact(Path("model.onnx"), KNOWN, True)


def failed(steps: tuple[Step, ...] = (), **changes: Any) -> list[str]:
    candidate = Artifact(Path("other.onnx"), replace(KNOWN, **changes), True)
    return [check.name.partition(": ")[2] for check in metadata_checks(RIGHT, candidate, steps) if not check.passed]


def test_the_same_passes_every_check() -> None:
    assert failed() == []
    assert len(metadata_checks(RIGHT, RIGHT)) == 8


def test_each_thing_that_is_lost_is_named() -> None:
    assert failed(labels=()) == ["labels"]
    assert failed(labels=("dog", "cat")) == ["labels"]
    assert failed(task="segment") == ["task"]
    assert failed(stride=16) == ["stride"]
    assert failed(imgsz=(640, 640)) == ["input size"]
    assert failed(decoder="nanodet") == ["decoder", "preprocessing"]
    assert failed(outputs=(TensorSpec("boxes", "float32", ("batch", 6, "anchors")),)) == ["outputs"]


def test_axes_may_have_other_names_and_be_fixed() -> None:
    assert failed(inputs=(TensorSpec("images", "float32", (1, 3, "axis2", 640)),)) == []
    assert failed(inputs=(TensorSpec("images", "float32", (1, 1, "axis2", 640)),)) == ["inputs"]


def test_a_recorded_step_may_change_what_it_is_for_and_nothing_else() -> None:
    rows = (TensorSpec("output0", "float32", ("batch", 300, 6)),)
    assert failed(outputs=rows) == ["outputs"]
    assert failed((Step("nms", {"conf": 0.25}),), outputs=rows) == []
    assert failed((Step("nms", {"conf": 0.25}),), outputs=rows, labels=("dog", "cat")) == ["labels"]
    assert failed((Step("axes", {"imgsz": [640, 640]}),), imgsz=(640, 640)) == []


def test_what_the_reference_does_not_say_is_not_asked_for() -> None:
    bare = Artifact(Path("bare.onnx"), Passport("bare.onnx", "0" * 64, 1, "onnx"), False)
    assert metadata_checks(bare, RIGHT) == []


def test_steps_are_those_beyond_the_reference() -> None:
    before = Artifact(Path("a"), replace(KNOWN, steps=(Step("train"),)), True)
    after = Artifact(Path("b"), replace(KNOWN, steps=(Step("train"), Step("half"))), True)
    assert [step.name for step in recorded_steps(before, after, (Step("nms"),))] == ["half", "nms"]

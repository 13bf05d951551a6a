"""What every transform must do, as a test class: subclass it and name the transform.

    class TestMine(TransformConformance):
        transform = "mine"

Whatever a transform changes, what it writes is a model that the product reads, the same file each time, that takes
and returns what its parent did, remembers what its parent knew, and still gives its answers.
"""
# ruff: noqa: D102 - a test's name is its docstring, and this file imports without pytest

from __future__ import annotations

import tempfile
from abc import ABC
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from throughline.contracts.artifacts import Array, Artifact
from throughline.contracts.errors import InputError
from throughline.models.artifact import read_artifact
from throughline.models.chain import suffix_of
from throughline.models.session import open_model
from throughline.models.transforms import TRANSFORMS, Made

FACTS: Mapping[str, str] = {
    "names": "{0: 'cat', 1: 'dog', 2: 'bird'}", "stride": "8", "imgsz": "[32, 48]", "task": "detect", "author": "nobody"
}  # fmt: skip
CLASSES = 3


def detector(batch: int | str = "batch", height: int | str = "height", width: int | str = "width") -> bytes:
    """A small detector as an ONNX file's bytes, with its facts: ``images`` in, what YOLO exports give out."""
    from onnx import TensorProto, helper, numpy_helper

    dice = np.random.default_rng(5)

    def weights(name: str, *shape: int, scale: float = 1.0) -> Any:
        fan = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        return numpy_helper.from_array((dice.normal(0, scale / np.sqrt(fan), shape)).astype(np.float32), name)

    channels = 4 + CLASSES
    fixed = all(isinstance(size, int) for size in (height, width))
    places: int | str = (int(height) // 8) * (int(width) // 8) if fixed else "places"
    nodes = [
        helper.make_node("Conv", ["images", "w1", "b1"], ["c1"], "stem", strides=[2, 2], pads=[1] * 4),
        helper.make_node("Sigmoid", ["c1"], ["s1"], "gate"),
        helper.make_node("Mul", ["c1", "s1"], ["a1"], "silu"),
        helper.make_node("Conv", ["a1", "w2", "b2"], ["c2"], "body", strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["c2"], ["a2"], "relu"),
        helper.make_node("Conv", ["a2", "w3", "b3"], ["c3"], "deep", strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["c3"], ["a3"], "relu2"),
        helper.make_node("Conv", ["a3", "wb", "bb"], ["boxes"], "boxes"),
        helper.make_node("Conv", ["a3", "wc", "bc"], ["logits"], "classes"),
        helper.make_node("Softplus", ["boxes"], ["positive"], "positive"),
        helper.make_node("Mul", ["positive", "pixels"], ["pixel_boxes"], "in_pixels"),
        helper.make_node("Sigmoid", ["logits"], ["scores"], "scores"),
        helper.make_node("Concat", ["pixel_boxes", "scores"], ["both"], "both", axis=1),
        helper.make_node("Reshape", ["both", "rows"], ["output0"], "places"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, height, width])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, channels, places])],
        [
            weights("w1", 8, 3, 3, 3, scale=2), weights("b1", 8), weights("w2", 16, 8, 3, 3, scale=2),
            weights("b2", 16),
            weights("w3", 16, 16, 3, 3, scale=2), weights("b3", 16), weights("wb", 4, 16, 1, 1), weights("bb", 4),
            weights("wc", CLASSES, 16, 1, 1, scale=2), weights("bc", CLASSES),
            numpy_helper.from_array(np.array(16, np.float32), "pixels"),
            numpy_helper.from_array(np.array([0, channels, -1], np.int64), "rows"),
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(FACTS))
    return bytes(model.SerializeToString())


def pictures(count: int, *, batch: int = 1, height: int = 32, width: int = 48) -> list[dict[str, Array]]:
    """Feeds for the detector: smooth pictures, as cameras make them, the same ones each time."""
    made = []
    for seed in range(count):
        dice = np.random.default_rng(seed)
        coarse = dice.random((batch, 3, height // 8, width // 8), np.float32)
        made.append({"images": coarse.repeat(8, 2).repeat(8, 3)})
    return made


class TransformConformance(ABC):
    """The suite. pytest collects the subclasses whose names begin with ``Test``.

    Attributes:
        transform: the member's name.
        options: how it is called.
        fed: whether it takes ``feeds``.
        error: how far its answers may be from the parent's, as a share of their size; None where the outputs change.
        renames: whether it may call dynamic axes otherwise.
    """

    transform: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    fed: ClassVar[bool] = False
    error: ClassVar[float | None] = 1e-5
    renames: ClassVar[bool] = False

    def source(self, folder: Path) -> Artifact:
        """The parent."""
        path = folder / "small.onnx"
        path.write_bytes(detector())
        return read_artifact(path)

    def make(self, source: Artifact, folder: Path, name: str = "made") -> tuple[Path, Made]:
        """Call the transform as a verb does."""
        facts = TRANSFORMS.get(self.transform).facts
        target = folder / f"{name}{suffix_of(facts['gives'] or facts['takes'][0])}"
        options = dict(self.options)
        if self.fed:
            options["feeds"] = lambda: iter(pictures(4))
        return target, TRANSFORMS.make(self.transform, source, target, **options)

    def test_it_says_what_it_takes_and_gives(self) -> None:
        facts = TRANSFORMS.get(self.transform).facts
        assert facts["takes"]
        assert isinstance(facts["takes"], tuple)
        assert facts["gives"] is None or isinstance(facts["gives"], str)

    def test_it_writes_its_file_and_nothing_else(self) -> None:
        with _folders() as (inside, outside):
            source = self.source(inside)
            before = source.path.read_bytes()
            target, made = self.make(source, outside)
            assert {path.name for path in outside.iterdir()} == {target.name, *made.companions}
            assert source.path.read_bytes() == before
            assert [path.name for path in inside.iterdir()] == [source.path.name]

    def test_it_says_what_it_did_and_with_what(self) -> None:
        with _folders() as (inside, outside):
            _, made = self.make(self.source(inside), outside)
            assert made.step.name == self.transform
            assert any(character.isdigit() for character in made.step.tool), "the tool's version"
            assert all("\n" not in note for note in made.notes)

    def test_the_same_input_gives_the_same_bytes(self) -> None:
        with _folders() as (inside, outside):
            source = self.source(inside)
            made = []
            for number in range(2):
                folder = outside / str(number)
                folder.mkdir()
                self.make(source, folder)
                made.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
            assert made[0] == made[1]

    def test_what_it_writes_takes_and_remembers_what_its_parent_did(self) -> None:
        with _folders() as (inside, outside):
            source = self.source(inside)
            target, made = self.make(source, outside)
            child = read_artifact(target)
            knows, knew = child.passport, source.passport
            for fact in ("labels", "stride", "imgsz", "task"):
                assert getattr(knows, fact) == made.changes.get(fact, getattr(knew, fact)), fact
            assert [spec.name for spec in child.inputs] == [spec.name for spec in source.inputs]
            assert [spec.name for spec in child.outputs] == [spec.name for spec in source.outputs]
            if self.error is not None:
                for here, there in zip((*child.inputs, *child.outputs), (*source.inputs, *source.outputs), strict=True):
                    assert here.dtype == there.dtype
                    if not self.renames:
                        assert here.shape == there.shape
                    assert [isinstance(size, int) for size in here.shape] == [isinstance(s, int) for s in there.shape]

    def test_it_gives_its_parents_answers_at_every_size(self) -> None:
        if self.error is None:
            return
        with _folders() as (inside, outside):
            source = self.source(inside)
            target, _ = self.make(source, outside)
            with open_model(source.path, device="cpu") as parent, open_model(target, device="cpu") as child:
                for batch, height, width in ((1, 32, 48), (3, 32, 48), (2, 64, 40)):
                    for feed in pictures(2, batch=batch, height=height, width=width):
                        expected = parent.predict(feed)["output0"]
                        found = child.predict(feed)["output0"]
                        assert found.shape == expected.shape
                        lost = np.linalg.norm(found - expected) / np.linalg.norm(expected)
                        assert lost <= self.error, f"{lost:.2g} at {batch}x{height}x{width}"

    def test_what_it_cannot_take_is_refused(self) -> None:
        with _folders() as (inside, outside):
            source = self.source(inside)
            other = Artifact(source.path, replace(source.passport, format="nonsense"), source.issued)
            refusal = None
            try:
                self.make(other, outside)
            except InputError as error:
                refusal = error
            assert refusal is not None, "a format that it does not take was taken"
            assert "nonsense" in refusal.problem
            assert refusal.fix
            assert not list(outside.iterdir())


@contextmanager
def _folders() -> Iterator[tuple[Path, Path]]:
    """Two empty folders for a while."""
    with tempfile.TemporaryDirectory() as inside, tempfile.TemporaryDirectory() as outside:
        yield Path(inside), Path(outside)

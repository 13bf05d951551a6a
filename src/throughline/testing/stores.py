"""What every store of models must do, as a test class: subclass it, and say how one is opened.

    class TestMine(StoreConformance):
        def store(self, folder):
            return open_mine(folder)

Each test gets a store of its own with nothing in it.
"""
# ruff: noqa: D102 - a test's name is its docstring, and this file imports without pytest

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError, ModelRefused, ThroughlineError
from throughline.models import passport as passports
from throughline.models.artifact import Given, read_artifact
from throughline.registry.versions import AliasMoved, Record, Store

_SHA256 = hashlib.sha256(b"evidence").hexdigest()
_THREADS = 8


def small_model(path: Path, number: int = 0) -> Path:
    """An ONNX file of a few hundred bytes that adds a number."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "number"], ["y"])],
        "adds",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor("number", TensorProto.FLOAT, [1], [float(number)])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


class StoreConformance(ABC):
    """The suite. pytest collects the subclasses whose names begin with ``Test``."""

    @abstractmethod
    def store(self, folder: Path) -> Store:
        """A store with nothing in it; called twice with one folder, the same store opened again."""

    def model(self, folder: Path, number: int = 0) -> Artifact:
        """A model with a passport; another number, another model."""
        path = small_model(folder / f"model-{number}.onnx", number)
        artifact = read_artifact(path, Given(task="classify", labels=("cat", "dog", "bird"), licence="CC0-1.0"))
        passports.issue(path, artifact.passport, vouch=True)
        return read_artifact(path)

    def test_it_is_a_store(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        assert isinstance(store, Store)
        assert str(store)

    def test_versions_count_from_one_and_the_newest_comes_first(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        added = [store.add(self.model(tmp_path, number), "street") for number in range(3)]
        assert [(version.number, new) for version, new in added] == [(1, True), (2, True), (3, True)]
        assert [version.number for version in store.versions("street")] == [3, 2, 1]
        assert store.version("street", 2).sha256 == self.model(tmp_path, 1).sha256

    def test_the_same_bytes_are_the_same_version_whatever_the_file_is_called(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        first, _ = store.add(self.model(tmp_path), "street")
        again, new = store.add(self.model(tmp_path), "street")
        other = read_artifact(small_model(tmp_path / "another name.onnx"))
        assert (again.number, new) == (first.number, False)
        assert store.add(other, "street")[0].number == first.number
        assert store.add(other, "crossing")[0].number == 1
        assert len(store.versions("street")) == 1

    def test_a_version_is_who_registered_it_and_when(self, tmp_path: Path) -> None:
        version, _ = self.store(tmp_path).add(self.model(tmp_path), "street")
        assert "@" in version.who
        assert version.created > 1_700_000_000
        assert str(version) == "models:/street/1"

    def test_its_file_comes_back_byte_for_byte_with_its_passport(self, tmp_path: Path) -> None:
        store, model = self.store(tmp_path), self.model(tmp_path)
        version, _ = store.add(model, "street")
        back = read_artifact(store.file(version))
        assert back.path.read_bytes() == model.path.read_bytes()
        assert back.path.name == model.path.name
        assert back.passport == model.passport
        assert passports.holds(back.path) is None
        model.path.unlink()
        assert read_artifact(store.file(version)).sha256 == model.sha256

    def test_what_it_does_not_have_is_an_input_error_that_says_what_there_is(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        store.add(self.model(tmp_path), "street")
        assert "street" in _refusal(lambda: store.versions("stret")).fix
        assert "street" in _refusal(lambda: store.aliases("stret")).fix
        assert "1" in _refusal(lambda: store.version("street", 7)).fix

    def test_a_name_that_leads_elsewhere_is_refused(self, tmp_path: Path) -> None:
        store, model = self.store(tmp_path), self.model(tmp_path)
        for name in ("", " ", "a/b", "a:b", "../a", "a'b", "a`b", "-", "x" * 300):
            assert isinstance(_refusal(partial(store.add, model, name)), InputError), name

    def test_an_alias_moves_from_where_it_is_and_what_is_written_down_stays(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        for number in range(3):
            store.add(self.model(tmp_path, number), "street")
        assert dict(store.aliases("street")) == {}
        store.move("street", "champion", None, 1, Record(1, "first"))
        store.move("street", "champion", 1, 3, Record(2, "second", _SHA256, "é" * 12_000))
        store.move("street", "other", None, 2, Record(3, "third", _SHA256, "é" * 12_000))
        again = self.store(tmp_path)
        assert dict(again.aliases("street")) == {"champion": 3, "other": 2}
        assert dict(again.entries("street")) == {1: "first", 2: "second", 3: "third"}
        assert again.evidence("street", _SHA256) == "é" * 12_000
        assert again.evidence("street", "0" * 64) is None

    def test_an_alias_that_is_elsewhere_by_now_does_not_move_and_nothing_is_written_down(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        for number in range(3):
            store.add(self.model(tmp_path, number), "street")
        store.move("street", "champion", None, 1, Record(1, "first"))
        late = Record(2, "late", _SHA256, "evidence")
        for alias, expected in (("champion", None), ("champion", 2), ("champion", 3), ("other", 1)):
            refused = _refusal(partial(store.move, "street", alias, expected, 3, late))
            assert isinstance(refused, AliasMoved)
            assert alias in refused.problem
        assert dict(store.aliases("street")) == {"champion": 1}
        assert dict(store.entries("street")) == {1: "first"}
        assert store.evidence("street", _SHA256) is None

    def test_of_many_who_move_it_at_once_one_does(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        if not store.atomic:
            return
        for number in range(_THREADS + 1):
            store.add(self.model(tmp_path, number), "street")
        store.move("street", "champion", None, 1, Record(1, "first"))
        gate, moved, refused = threading.Barrier(_THREADS), list[int](), list[Exception]()

        def move(to: int) -> None:
            gate.wait()
            try:
                store.move("street", "champion", 1, to, Record(2, f"to {to}"))
                moved.append(to)
            except ModelRefused as error:
                refused.append(error)

        threads = [threading.Thread(target=move, args=(to,)) for to in range(2, _THREADS + 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(moved) == 1
        assert len(refused) == _THREADS - 1
        assert dict(store.aliases("street")) == {"champion": moved[0]}
        assert dict(store.entries("street")) == {1: "first", 2: f"to {moved[0]}"}


def _refusal(ask: Callable[[], object]) -> ThroughlineError:
    """The error that an answer is refused with."""
    try:
        ask()
    except ThroughlineError as error:
        return error
    raise AssertionError("it was answered")

"""One version takes another's place only where it works, and nobody who asks meanwhile notices."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import served_models as made

from throughline.contracts.errors import InputError, ModelRefused, ThroughlineError
from throughline.serving.metrics import Metrics
from throughline.serving.refusals import Refused, status_of
from throughline.serving.served import Running, Served, opened
from throughline.serving.shelf import Shelf, is_name

ONE = {"x": np.array([[1, 2, 3]], np.float32)}


def shelf(use: Callable[[Shelf], Awaitable[None]], **running: Any) -> None:
    """A shelf, used and put away."""

    async def whole() -> None:
        kept = Shelf(Running(backend="onnxruntime", threads=1, timeout=30.0, **running), Metrics(), lambda _: None)
        try:
            await use(kept)
        finally:
            await kept.close()
        assert not [one for one in threading.enumerate() if one.name.startswith("adds-")]

    asyncio.run(whole())


async def added(served: Served) -> float:
    """What a model adds."""
    answered = await served.ask(ONE)
    return float(answered.outputs["y"][0, 0]) - 1.0


def test_a_file_that_changed_is_another_version_and_one_that_did_not_is_the_same(tmp_path: Path) -> None:
    path = made.adds(tmp_path / "adds.onnx", 1)

    async def use(kept: Shelf) -> None:
        first = await kept.load("adds", str(path))
        assert await kept.load("adds") is first
        made.adds(path, 2)
        second = await kept.load("adds")
        assert (first.version, second.version) == ("1", "2")
        assert await added(kept.find("adds")) == 2
        with pytest.raises(Refused):
            kept.find("adds", "1")

    shelf(use)


def broken(path: Path) -> Path:
    path.write_bytes(b"this is no model")
    return path


BAD = {
    "it does not open": (broken, InputError),
    "it gives no numbers": (made.none_numbers, ModelRefused),
    "it takes another shape": (lambda path: made.adds(path, width=4), Refused),
    "its input has another name": (lambda path: made.adds(path, name="other"), Refused),
    "it wants more": (made.looks_up, Refused),
    "its rows depend on each other": (made.runs_on, ModelRefused),
}


@pytest.mark.parametrize("what", BAD)
def test_a_version_that_does_not_do_is_refused_and_the_old_one_serves_on(tmp_path: Path, what: str) -> None:
    make, refusal = BAD[what]
    path = made.adds(tmp_path / "adds.onnx", 1)

    async def use(kept: Shelf) -> None:
        first = await kept.load("adds", str(path))
        make(path)
        for _ in range(2):
            with pytest.raises(ThroughlineError) as refused:
                await kept.load("adds")
            assert isinstance(refused.value, refusal), refused.value
            assert 400 <= status_of(refused.value) < 500
        with pytest.raises(ThroughlineError):
            await kept.stage("adds", str(path))
        assert kept.find("adds") is first
        assert kept.ready
        assert await added(first) == 1
        assert list(kept.models["adds"].versions) == ["1"]

    shelf(use)


def test_whoever_is_on_the_way_to_a_version_is_still_answered_by_it(tmp_path: Path) -> None:
    """A body that comes slowly names its model long before it is whole."""
    path = made.adds(tmp_path / "adds.onnx", 1)

    async def use(kept: Shelf) -> None:
        await kept.load("adds", str(path))
        with kept.find("adds").held() as old:
            made.adds(path, 2)
            new = await kept.load("adds")
            for _ in range(5):
                await asyncio.sleep(0)  # the old one would be closed by now, if nobody held it
            assert await added(old) == 1
            assert await added(new) == 2
        while kept._ending:
            await asyncio.gather(*kept._ending)
        with pytest.raises(Refused) as refused:
            await added(old)
        assert refused.value.status == 503

    shelf(use)


def test_requests_are_shared_out_and_a_shadow_is_asked_besides(tmp_path: Path) -> None:
    path = made.adds(tmp_path / "adds.onnx", 1)

    async def use(kept: Shelf) -> None:
        await kept.load("adds", str(path))
        await kept.stage("adds", str(made.adds(tmp_path / "b.onnx", 2)))
        await kept.stage("adds", str(made.adds(tmp_path / "c.onnx", 2.5)))
        assert {kept.find("adds").version for _ in range(50)} == {"1"}
        kept.split("adds", {"1": 3, "2": 1}, shadow="3")
        seen = [kept.find("adds").version for _ in range(2000)]
        assert set(seen) == {"1", "2"}
        assert 0.15 < seen.count("2") / len(seen) < 0.35
        shadow = kept.models["adds"].shadow
        assert shadow is not None
        for _ in range(5):
            answer = kept.find("adds", "1").ask(ONE)
            await answer
            shadow.follow(ONE, answer)
            while shadow._pending:
                await asyncio.gather(*shadow._pending)
        report = shadow.report()
        assert (report["version"], report["asked"], report["failed"]) == ("3", 5, 0)
        assert report["apart_most"] == pytest.approx(1.5 / np.sqrt((4 + 9 + 16) / 3), rel=1e-6)
        assert report["size"]["difference"] == pytest.approx(1.5)
        kept.split("adds", {"2": 1})
        assert list(kept.models["adds"].versions) == ["2"]

    shelf(use)


SENSELESS: list[tuple[dict[str, float], str | None]] = [
    ({}, None), ({"1": 0}, None), ({"1": -1, "2": 2}, None), ({"1": float("inf")}, None), ({"1": float("nan")}, None),
    ({"7": 1}, None), ({"1": 1}, "7"), ({"1": 1}, "1"),
]  # fmt: skip


def test_a_sharing_out_that_makes_no_sense_changes_nothing(tmp_path: Path) -> None:
    path = made.adds(tmp_path / "adds.onnx", 1)

    async def use(kept: Shelf) -> None:
        await kept.load("adds", str(path))
        await kept.stage("adds", str(made.adds(tmp_path / "b.onnx", 2)))
        for weights, shadow in SENSELESS:
            with pytest.raises(ThroughlineError):
                kept.split("adds", weights, shadow)
            assert kept.models["adds"].weights == {"1": 1.0}
            assert list(kept.models["adds"].versions) == ["1", "2"]
        assert await added(kept.find("adds")) == 1

    shelf(use)


def test_an_unloaded_model_answers_nobody_until_it_is_loaded_again(tmp_path: Path) -> None:
    path = made.adds(tmp_path / "adds.onnx", 1)

    async def use(kept: Shelf) -> None:
        await kept.load("adds", str(path))
        await kept.unload("adds")
        assert not kept.ready
        with pytest.raises(Refused) as refused:
            kept.find("adds")
        assert refused.value.status == 503
        assert await added(await kept.load("adds")) == 1
        assert kept.ready

    shelf(use)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a\n", "a" * 101, "a%", "a'b"])
def test_a_name_that_leads_elsewhere_is_none(name: str) -> None:
    assert not is_name(name)


def test_no_model_takes_a_name_that_leads_elsewhere(tmp_path: Path) -> None:
    async def use(kept: Shelf) -> None:
        with pytest.raises(InputError):
            await kept.load("../adds", str(made.adds(tmp_path / "adds.onnx", 1)))
        assert not kept.models

    shelf(use)


def test_a_model_whose_rows_are_one_sequence_is_asked_one_request_at_a_time(tmp_path: Path) -> None:
    running = Running(backend="onnxruntime", threads=1)
    with pytest.raises(ModelRefused, match="alone"):
        opened(made.runs_on(tmp_path / "runs.onnx"), running)
    found = opened(tmp_path / "runs.onnx", Running(backend="onnxruntime", threads=1, max_batch_size=1))
    found.session.close()


def test_texts_and_numbers_without_an_axis_can_be_served(tmp_path: Path) -> None:
    async def use(kept: Shelf) -> None:
        texts = await kept.load("texts", str(made.texts(tmp_path / "texts.onnx")))
        answered = await texts.ask({"text": np.array([["a", "é"]], object)})
        assert answered.outputs["same"].tolist() == [["a", "é"]]
        scalar = await kept.load("scalar", str(made.scalar(tmp_path / "scalar.onnx")))
        assert (await scalar.ask({"x": np.array(2, np.float32)})).outputs["y"] == 4

    shelf(use)

"""What is asked twice is computed once, and nobody's answer depends on who else asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import served_models as made

from throughline.contracts.errors import InputError
from throughline.serving.refusals import Refused
from throughline.serving.served import Running, Served, opened
from throughline.serving.sharing import Sharing


def served(path: Path, use: Callable[[Served, list[int]], Awaitable[None]]) -> None:
    """A version in use, and the rows of its batches."""

    async def whole() -> None:
        rows: list[int] = []
        running = Running(backend="onnxruntime", threads=1, timeout=30.0)
        one = Served("adds", "1", opened(path, running), running, lambda count, _: rows.append(count))
        try:
            await use(one, rows)
        finally:
            await one.close()

    asyncio.run(whole())


def x(*values: float) -> dict[str, Any]:
    return {"x": np.array([values], np.float32)}


def test_the_same_question_at_the_same_time_is_computed_once(tmp_path: Path) -> None:
    async def use(one: Served, rows: list[int]) -> None:
        sharing = Sharing(dedupe=True, cache_bytes=0)
        same = [sharing.ask(one, x(1, 2, 3), None, 0) for _ in range(7)]
        found = await asyncio.gather(*same, sharing.ask(one, x(1, 2, 4), None, 0))
        assert [float(answer.outputs["y"][0, 2]) for answer in found] == [8] * 7 + [9]
        assert (sum(rows), sharing.shared, sharing.kept) == (2, 6, 0)
        await sharing.ask(one, x(1, 2, 3), None, 0)
        assert sum(rows) == 3  # it was answered by then, and nothing is kept

    served(made.adds(tmp_path / "adds.onnx", 5), use)


def test_who_leaves_takes_nothing_from_the_others(tmp_path: Path) -> None:
    async def use(one: Served, rows: list[int]) -> None:
        sharing = Sharing(dedupe=True, cache_bytes=0)
        asked = [asyncio.ensure_future(sharing.ask(one, x(1, 2, 3), None, 0)) for _ in range(4)]
        await asyncio.sleep(0)
        asked[0].cancel()
        asked[2].cancel()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(answer, asyncio.CancelledError) for answer in found] == [True, False, True, False]
        assert sum(rows) == 1

    served(made.adds(tmp_path / "adds.onnx"), use)


def test_who_has_more_time_than_the_first_to_ask_is_answered(tmp_path: Path) -> None:
    async def use(one: Served, rows: list[int]) -> None:
        sharing = Sharing(dedupe=True, cache_bytes=0)
        busy = [one.ask(x(at, 0, 0)) for at in range(200)]
        hasty = asyncio.ensure_future(sharing.ask(one, x(1, 2, 3), 1e-4, 0))
        patient = asyncio.ensure_future(sharing.ask(one, x(1, 2, 3), 30.0, 0))
        found = await asyncio.gather(hasty, patient, return_exceptions=True)
        assert isinstance(found[0], Refused)
        assert not isinstance(found[1], BaseException)
        await asyncio.gather(*busy)

    served(made.adds(tmp_path / "adds.onnx"), use)


def test_answers_are_kept_as_far_as_there_is_room_and_the_longest_unused_goes_first(tmp_path: Path) -> None:
    async def use(one: Served, rows: list[int]) -> None:
        sharing = Sharing(dedupe=False, cache_bytes=3 * 212)
        for at in (1, 2, 3, 1, 4):  # 4 takes the place of 2
            await sharing.ask(one, x(at, 0, 0), None, 0)
        assert (sum(rows), sharing.kept) == (4, 1)
        for at in (1, 3, 4):
            answer = await sharing.ask(one, x(at, 0, 0), None, 0)
            assert answer.outputs["y"].tolist() == [[at + 5, 5, 5]]
        assert (sum(rows), sharing.kept) == (4, 4)
        await sharing.ask(one, x(2, 0, 0), None, 0)
        assert sum(rows) == 5

    served(made.adds(tmp_path / "adds.onnx", 5), use)


def test_a_refusal_is_not_kept(tmp_path: Path) -> None:
    async def use(one: Served, rows: list[int]) -> None:
        sharing = Sharing(dedupe=True, cache_bytes=10_000)
        for _ in range(2):
            with pytest.raises(InputError):
                await sharing.ask(one, x(1, 2, np.nan), None, 0)
        assert sharing.kept == 0
        assert not sharing._coming

    served(made.adds(tmp_path / "adds.onnx"), use)

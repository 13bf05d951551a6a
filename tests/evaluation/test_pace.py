"""Speeds measured in turn: every picture is counted, and twice the work takes longer."""

from __future__ import annotations

import numpy as np
import pytest

from throughline.contracts.artifacts import Array, TensorSpec
from throughline.evaluation import pace as pacing
from throughline.evaluation.pace import Runs, pace


class Multiply:
    """A model whose work is a matrix product of a size of its own."""

    inputs = (TensorSpec("x", "float32", ("batch", 4)),)
    outputs = inputs

    def __init__(self, side: int) -> None:
        self.side, self.called = np.ones((side, side), np.float32), 0

    def predict(self, feeds: dict[str, Array]) -> dict[str, Array]:
        self.called += len(feeds["x"])
        self.side @ self.side
        return {"x": feeds["x"]}

    def close(self) -> None: ...


@pytest.mark.parametrize("lanes", [1, 2])
def test_every_call_is_made_and_more_work_is_a_lower_ratio(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    monkeypatch.setattr(pacing, "_STRETCH", 0.02)
    calls = [{"x": np.zeros((2, 4), np.float32)} for _ in range(3)]
    heavy, light = Multiply(400), Multiply(8)
    slow, fast = Runs(heavy, calls, 2, lanes), Runs(light, calls, 2, lanes)
    seen = pace(slow, fast, rounds=3)
    assert seen.ratio < 0.5
    assert seen.throughput > 0
    assert seen.latency_ms > 0
    assert heavy.called >= 4 * 3 * 2, "warm-up and three rounds, each input at least once"
    assert pace(fast, slow, rounds=3).ratio > 2

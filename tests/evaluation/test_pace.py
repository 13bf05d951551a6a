"""Speeds measured in turn: every picture is counted, and twice the work takes longer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from throughline.bundled import DETECTOR
from throughline.contracts.artifacts import Array, TensorSpec
from throughline.contracts.errors import ThroughlineError
from throughline.evaluation import pace as pacing
from throughline.evaluation.footprint import footprint
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


def test_a_footprint_is_that_of_the_model_alone() -> None:
    feeds = {"images": np.zeros((1, 3, 192, 320), np.float32)}
    small, large = (
        footprint(DETECTOR, {"images": np.repeat(feeds["images"], rows, 0)}, 1, backend="onnxruntime", device="cpu")
        for rows in (1, 16)
    )
    assert 30 < small < 500
    assert small + 15 * feeds["images"].nbytes / 2**20 < large < 1500
    with pytest.raises(ThroughlineError, match="ended with code"):
        footprint(Path("absent.onnx"), feeds, 1)

"""A poisoned request fails alone, and its neighbours never know."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import served_models
from hypothesis import given
from hypothesis import strategies as st

from throughline.contracts.errors import InputError
from throughline.models.session import Session, open_model
from throughline.serving.batcher import Batcher, Limits
from throughline.serving.lanes import Lanes, answered
from throughline.serving.pace import Pace
from throughline.serving.refusals import Refused, status_of


@pytest.fixture(scope="module")
def looks_up(tmp_path_factory: pytest.TempPathFactory) -> Session:
    path: Path = served_models.looks_up(tmp_path_factory.mktemp("models") / "looks.onnx", 0.3)
    return open_model(path, backend="onnxruntime", device="cpu", threads=1)


def request(seed: int, place: int = 1) -> dict[str, Any]:
    x = np.random.default_rng(seed).normal(size=(1, 3)).astype(np.float32)
    return {"x": x, "place": np.array([[place]], np.int64)}


poisons = st.sampled_from(["nan", "inf", "place", "sound"])


@given(st.lists(poisons, min_size=8, max_size=8))
def test_poison_of_any_kind_fails_alone_and_its_neighbours_answers_are_the_same_to_the_bit(
    looks_up: Session, kinds: list[str]
) -> None:
    feeds = [request(at) for at in range(len(kinds))]
    alone = [looks_up.predict(one)["y"] for one in feeds]
    for one, kind in zip(feeds, kinds, strict=True):
        if kind in ("nan", "inf"):
            one["x"][0, 1] = np.float32(kind)
        elif kind == "place":
            one["place"][0, 0] = 99
    ran = answered(looks_up.predict, feeds)
    for kind, answer, expected in zip(kinds, ran, alone, strict=True):
        if kind == "sound":
            assert isinstance(answer, dict)
            assert answer["y"].tobytes() == expected.tobytes()
        else:
            assert isinstance(answer, Exception)
            assert 400 <= status_of(answer) < 500


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_what_is_no_number_is_found_in_every_type_that_has_it(dtype: Any) -> None:
    feeds = [{"x": np.array([[value]], dtype)} for value in (1.0, np.nan, np.inf, 2.0)]
    ran = answered(lambda batch: {"y": batch["x"]}, feeds)
    assert [isinstance(one, InputError) for one in ran] == [False, True, True, False]


def test_large_numbers_whose_sum_is_infinite_are_numbers() -> None:
    most = np.finfo(np.float32).max
    ran = answered(lambda batch: {"y": batch["x"]}, [{"x": np.full((1, 4), most, np.float32)}] * 2)
    assert all(isinstance(one, dict) for one in ran)


def test_an_output_that_is_not_by_row_is_worked_out_for_each_alone() -> None:
    ran = answered(lambda batch: {"sum": batch["x"].sum(keepdims=True)[0]}, [{"x": np.full((1, 1), 2.0)}] * 3)
    assert [one["sum"].item() for one in ran if isinstance(one, dict)] == [2.0, 2.0, 2.0]


def test_a_model_that_fails_whoever_asks_is_a_fault_of_the_servers() -> None:
    def fails(_: Mapping[str, Any]) -> dict[str, Any]:
        raise RuntimeError("it is broken")

    ran = answered(fails, [{"x": np.ones((1, 1))}] * 2)
    assert [status_of(one) for one in ran if isinstance(one, Exception)] == [500, 500]


def test_a_feed_without_an_axis_is_answered() -> None:
    ran = answered(lambda feeds: {"y": feeds["x"] * 2}, [{"x": np.array(2.0)}])
    assert isinstance(ran[0], dict)
    assert ran[0]["y"] == 4.0


def test_a_thread_outlives_whatever_a_batch_does_to_it() -> None:
    """Arrays that do not fit together fail before the model is asked."""

    async def use() -> None:
        batcher = Batcher(
            Lanes(lambda feeds: {"y": feeds["x"]}, 1, "test"), Limits(8, 0.0, 99), Pace(0, 0, 8), lambda *_: None
        )
        first = batcher.ask({"x": np.ones((1, 1))}, 1, (), 9.0)
        odd = [batcher.ask({"x": np.ones(shape)}, 1, (), 9.0) for shape in ((1, 2), (1, 3))]
        await first
        for answer in odd:
            with pytest.raises(Refused):
                await asyncio.wait_for(answer, 30)
        assert (await asyncio.wait_for(batcher.ask({"x": np.ones((1, 1))}, 1, (), 9.0), 30)).batch == 1
        await batcher.drain()
        batcher.close()

    asyncio.run(use())

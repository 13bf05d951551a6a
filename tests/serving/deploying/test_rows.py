"""Rows in, answers out: each its own, whatever lies beside it in the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto
from small_models import write_model

from throughline.contracts.errors import InputError
from throughline.models.session import open_model
from throughline.serving.deploying._rows import Rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    path = write_model(tmp_path_factory.mktemp("rows") / "m.onnx", shape=("batch", "n", 2), inputs=("a", "b"))
    return Rows(path, threads=1)


GOOD = st.integers(1, 3).flatmap(
    lambda length: st.fixed_dictionaries(
        {name: st.lists(st.lists(st.integers(-9, 9), min_size=2, max_size=2), min_size=length, max_size=length)
         for name in ("a", "b")}
    )
)  # fmt: skip
BAD = st.sampled_from(
    [
        {},
        {"a": [[1, 2]]},
        {"a": [[1, 2]], "b": [[1, 2]], "c": 1},
        {"a": [[1, 2]], "b": [[1, 2, 3]]},
        {"a": [[1, 2], [1]], "b": [[1, 2]]},
        {"a": "text", "b": None},
        {"a": [["1", "2"]], "b": [[1, 2]]},
        {"a": [[1, 2]], "b": [[1, 2], [3, 4], [5, 6]]},  # each fits alone; the runtime finds that they do not fit
        {"a": {"x": 1}, "b": [[1, 2]]},
    ]
)


@given(st.lists(GOOD | BAD, max_size=6))
def test_a_row_is_answered_as_if_it_were_alone(rows: Rows, asked: list[dict[str, Any]]) -> None:
    together = rows.answer(asked)
    assert together == [rows.answer([row])[0] for row in asked]
    for row, answer in zip(asked, together, strict=True):
        if "error" in answer:
            assert "fix:" in answer["error"]
        else:
            np.testing.assert_array_equal(answer["y"], np.add(row["a"], row["b"]))


@given(GOOD)
def test_a_good_row_is_answered(rows: Rows, row: dict[str, Any]) -> None:
    assert rows.answer([row])[0].keys() == {"y"}


@pytest.mark.parametrize(
    ("number", "given_", "answer"),
    [
        (TensorProto.INT32, [1.0, 2.0], [1, 2]),
        (TensorProto.INT32, [1.5, 2.0], None),
        (TensorProto.INT32, [2**40, 0], None),
        (TensorProto.INT32, [float("nan"), 0], None),
        (TensorProto.INT64, [True, False], [1, 0]),
        (TensorProto.FLOAT, [1, 2], [1.0, 2.0]),
        (TensorProto.DOUBLE, [0.1, 0.2], [0.1, 0.2]),
    ],
)
def test_a_number_that_is_not_of_the_models_type_is_refused(
    number: int, given_: list[float], answer: list[float] | None, tmp_path: Path
) -> None:
    rows = Rows(write_model(tmp_path / "m.onnx", shape=("batch", 2), dtype=number))
    (told,) = rows.answer([{"x": given_}])
    assert told.get("y") == answer
    rows.close()


def test_the_answers_are_the_predictors(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", shape=(1, 4))  # a model of one row at a time
    x = np.random.default_rng(0).random((5, 4), np.float32)
    with open_model(path) as session:
        expected = session.predict({"x": x})["y"]
    answers = Rows(path).answer([{"x": row} for row in x.tolist()])
    np.testing.assert_array_equal(np.array([one["y"] for one in answers], np.float32), expected)


def test_rows_that_a_model_would_mix_are_asked_one_by_one(tmp_path: Path) -> None:
    rows = Rows(write_model(tmp_path / "m.onnx", rows_out=3))
    assert rows.answer([{"x": [1, 2, 3]}, {"x": [4, 5, 6]}]) == [{"y": [1, 2, 3]}, {"y": [4, 5, 6]}]


@pytest.mark.parametrize("changes", [{"shape": (2, 3)}, {"shape": ()}, {"rows_out": "rows"}])
def test_a_model_without_rows_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not rows of plain numbers"):
        Rows(write_model(tmp_path / "m.onnx", **changes))

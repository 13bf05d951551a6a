"""From bytes to arrays and back: what was sent is what is asked, and nothing that is sent does harm."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from throughline.contracts.artifacts import TensorSpec
from throughline.contracts.errors import InputError
from throughline.serving.wire import TYPES, Asked, read_request, write_response

INPUTS = (
    TensorSpec("x", "float32", ("batch", 3)),
    TensorSpec("text", "object", ("batch", "?")),
    TensorSpec("yes", "bool", (2,)),
)


def dtype_of(datatype: str) -> Any:
    return ml_dtypes.bfloat16 if datatype == "BF16" else object if datatype == "BYTES" else np.dtype(TYPES[datatype])


def arrays_of(datatype: str) -> st.SearchStrategy[Any]:
    shapes = hnp.array_shapes(max_dims=4, max_side=4)
    if datatype == "BYTES":
        return hnp.arrays(object, shapes, elements=st.text(st.characters(codec="utf-8"), max_size=9))
    if datatype == "BF16":
        return hnp.arrays(np.float32, shapes, elements=st.floats(width=16)).map(
            lambda one: one.astype(dtype_of("BF16"))
        )
    return hnp.arrays(dtype_of(datatype), shapes)


tensors = st.sampled_from(sorted(TYPES)).flatmap(lambda kind: st.tuples(st.just(kind), arrays_of(kind)))


def sent(arrays: list[tuple[str, Any]], binary: bool) -> tuple[bytes, int | None]:
    """A request as a client makes it: with the response's own writer, which the other side must understand."""
    outputs = {f"in{at}": array for at, (_, array) in enumerate(arrays)}
    parts, length = write_response(Asked("", {}, None, binary), outputs, "", "")
    said = json.loads(parts[0])
    said = {"inputs": said["outputs"], "id": "7"}
    for one, (kind, _) in zip(said["inputs"], arrays, strict=True):
        assert one["datatype"] == kind
    written = json.dumps(said).encode()
    return b"".join([written, *parts[1:]]), (len(written) if length is not None else None)


@given(st.lists(tensors, min_size=1, max_size=4))
def test_arrays_come_through_as_bytes_to_the_bit(arrays: list[tuple[str, Any]]) -> None:
    specs = [TensorSpec(f"in{at}", TYPES[kind], array.shape) for at, (kind, array) in enumerate(arrays)]
    asked = read_request(*sent(arrays, True), specs)
    assert asked.id == "7"
    for at, (kind, array) in enumerate(arrays):
        got = asked.feeds[f"in{at}"]
        assert got.shape == array.shape
        if kind == "BYTES":
            assert got.tolist() == array.tolist()
        else:
            assert got.dtype == array.dtype
            assert got.tobytes() == array.tobytes()


@given(st.lists(tensors, min_size=1, max_size=4))
def test_arrays_come_through_as_json_with_every_number_that_json_has(arrays: list[tuple[str, Any]]) -> None:
    for kind, array in arrays:
        assume(kind in ("BYTES", "BOOL") or bool(np.isfinite(array.astype(np.float64)).all()))
    specs = [TensorSpec(f"in{at}", TYPES[kind], array.shape) for at, (kind, array) in enumerate(arrays)]
    body, _ = sent(arrays, False)
    asked = read_request(body, None, specs)
    for at, (_, array) in enumerate(arrays):
        got = asked.feeds[f"in{at}"]
        assert got.dtype == array.dtype
        assert got.tolist() == array.tolist()


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=2, max_side=4)))
def test_a_response_of_any_numbers_is_json(array: Any) -> None:
    (said,), _ = write_response(Asked("", {}), {"y": array}, "m", "1")
    read = json.loads(said, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    for one, value in zip(read["outputs"][0]["data"], array.ravel().tolist(), strict=True):
        assert one == value if math.isfinite(value) else one is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(sorted(TYPES)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "inputs",
                    "outputs",
                    "name",
                    "shape",
                    "datatype",
                    "data",
                    "id",
                    "parameters",
                    "binary_data_size",
                    "binary_data",
                    "binary_data_output",
                    "timeout",
                    "priority",
                    "x",
                    "classification",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)
odd_tensor = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "text", "yes", "", "X"]) | anything,
        "datatype": st.sampled_from(["FP32", "BYTES", "BOOL", "FP64", "INT32"]) | anything,
        "shape": st.lists(st.integers(-2, 4) | st.sampled_from([2**31, 2**63, 10**30]), max_size=4) | anything,
        "data": st.lists(st.floats() | st.integers() | st.text(max_size=3) | anything, max_size=6) | anything,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-9, 99) | anything})
        | anything,
    },
)
odd_request = st.fixed_dictionaries(
    {"inputs": st.lists(odd_tensor, max_size=4) | anything},
    optional={
        "id": anything,
        "outputs": st.lists(st.fixed_dictionaries({}, optional={"name": anything, "parameters": anything}), max_size=2)
        | anything,
        "parameters": st.fixed_dictionaries({}, optional={"timeout": anything, "priority": anything}) | anything,
    },
)


@given(odd_request | anything, st.binary(max_size=40), st.none() | st.integers(-5, 200))
def test_odd_requests_are_refused_or_read_and_nothing_else(said: Any, tail: bytes, shift: int | None) -> None:
    written = json.dumps(said).encode()
    length = None if shift is None else len(written) if shift >= 0 else shift
    refused_or_read(written + tail, length)


@given(st.binary(max_size=300), st.none() | st.integers(-1, 400))
def test_garbage_is_refused(body: bytes, length: int | None) -> None:
    refused_or_read(body, length)


def refused_or_read(body: bytes, length: int | None) -> None:
    with suppress(InputError):
        assert read_request(body, length, INPUTS).feeds.keys() == {"x", "text", "yes"}


@pytest.mark.parametrize("where", ["id", "shape", "data", "name", "timeout", "priority", "binary_data_size"])
def test_depth_is_refused_however_deep(where: str) -> None:
    for depth in range(100, 1200, 20):
        deep = "[" * depth + "]" * depth
        tensor = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
        request: dict[str, Any] = {"inputs": [tensor], "parameters": {}}
        place = {"id": request, "timeout": request["parameters"], "priority": request["parameters"]}.get(where, tensor)
        if where == "binary_data_size":
            place = tensor.setdefault("parameters", {})
        place[where] = "HERE"
        with pytest.raises(InputError):
            read_request(json.dumps(request).replace('"HERE"', deep).encode(), None, INPUTS)


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP32", ["1", "2", "3"]), ("FP32", [None, 1, 2]), ("FP32", [[1], [2, 3]]), ("FP32", [1, 2]), ("FP32", {}),
        ("INT32", [1.5, 2, 3]), ("INT32", [2**31, 0, 0]), ("INT32", ["1", "2", "3"]), ("UINT8", [-1, 0, 0]),
        ("UINT64", [-1, 0, 0]), ("UINT64", [2**64, 0, 0]), ("BOOL", [2, 0, 1]), ("BYTES", [1, "a", "b"]),
        ("BYTES", ["a", None, "b"]), ("BYTES", [["a"], ["b", "c"], []]),
    ],
)  # fmt: skip
def test_values_are_what_they_say_they_are(datatype: str, data: Any) -> None:
    spec = TensorSpec("x", TYPES[datatype], (3,))
    request = {"inputs": [{"name": "x", "shape": [3], "datatype": datatype, "data": data}]}
    with pytest.raises(InputError, match="'x'"):
        read_request(json.dumps(request).encode(), None, [spec])


def test_the_greatest_and_the_least_whole_numbers_are_exact() -> None:
    for datatype, values in (("UINT64", [2**64 - 1, 1, 0]), ("INT64", [2**63 - 1, -(2**63), -1])):
        spec = TensorSpec("x", TYPES[datatype], (3,))
        request = {"inputs": [{"name": "x", "shape": [3], "datatype": datatype, "data": values}]}
        assert read_request(json.dumps(request).encode(), None, [spec]).feeds["x"].tolist() == values


def test_bytes_that_are_no_truth_value_or_no_text_are_refused() -> None:
    for datatype, data in (("BOOL", b"\x02"), ("BYTES", b"\x01\0\0\0\xff"), ("BYTES", b"\xff\xff\xff\xff")):
        tensor = {"name": "x", "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": len(data)}}
        head = json.dumps({"inputs": [tensor]}).encode()
        with pytest.raises(InputError, match="'x'"):
            read_request(head + data, len(head), [TensorSpec("x", TYPES[datatype], (1,))])


@pytest.mark.parametrize("value", ["--5", "5-", "٣5x", 1.5, "1e3", True, [], 2**64, "9" * 30])
def test_a_parameter_that_is_no_whole_number_is_refused(value: Any) -> None:
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    request = {"inputs": [tensor], "parameters": {"priority": value}}
    with pytest.raises(InputError, match="priority"):
        read_request(json.dumps(request).encode(), None, [TensorSpec("x", "float32", (1,))])

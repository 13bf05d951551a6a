"""Networks of a few bytes, each with one way to be asked, or to go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

TYPED = {
    "BOOL": (TensorProto.BOOL, "bool"), "UINT8": (TensorProto.UINT8, "uint8"), "UINT16": (TensorProto.UINT16, "uint16"),
    "UINT32": (TensorProto.UINT32, "uint32"), "UINT64": (TensorProto.UINT64, "uint64"),
    "INT8": (TensorProto.INT8, "int8"), "INT16": (TensorProto.INT16, "int16"), "INT32": (TensorProto.INT32, "int32"),
    "INT64": (TensorProto.INT64, "int64"), "FP16": (TensorProto.FLOAT16, "float16"),
    "FP32": (TensorProto.FLOAT, "float32"), "FP64": (TensorProto.DOUBLE, "float64"),
}  # fmt: skip
TABLE = np.array([0.5, 1.5, 2.5, 3.5], np.float32)
_OPSET, _IR = 20, 10


def every_type(path: Path) -> Path:
    """An input of each type, given back as it came."""
    nodes = [helper.make_node("Identity", [name], [f"same_{name}"]) for name in TYPED]
    takes = [_tensor(name, kind, ["batch", 2]) for name, (kind, _) in TYPED.items()]
    gives = [_tensor(f"same_{name}", kind, ["batch", 2]) for name, (kind, _) in TYPED.items()]
    return _write(path, nodes, takes, gives)


def texts(path: Path) -> Path:
    """Texts, given back as they came."""
    return _write(
        path,
        [helper.make_node("Identity", ["text"], ["same"])],
        [_tensor("text", TensorProto.STRING, ["batch", 2])],
        [_tensor("same", TensorProto.STRING, ["batch", 2])],
    )


def looks_up(path: Path, factor: float = 1.0) -> Path:
    """Numbers and a place in a table of four; any other place is one that the model itself fails on."""
    return _write(
        path,
        [
            helper.make_node("Gather", ["table", "place"], ["found"]),
            helper.make_node("Mul", ["x", "factor"], ["scaled"]),
            helper.make_node("Add", ["scaled", "found"], ["y"]),
        ],
        [_tensor("x", TensorProto.FLOAT, ["batch", 3]), _tensor("place", TensorProto.INT64, ["batch", 1])],
        [_tensor("y", TensorProto.FLOAT, ["batch", 3])],
        [("table", TABLE), ("factor", np.array([factor], np.float32))],
    )


def adds(path: Path, number: float = 0.0, width: int = 3, name: str = "x") -> Path:
    """A number more."""
    return _write(
        path,
        [helper.make_node("Add", [name, "number"], ["y"])],
        [_tensor(name, TensorProto.FLOAT, ["batch", width])],
        [_tensor("y", TensorProto.FLOAT, ["batch", width])],
        [("number", np.array([number], np.float32))],
    )


def none_numbers(path: Path) -> Path:
    """The logarithm of what is below zero."""
    return _write(
        path,
        [helper.make_node("Sub", ["x", "much"], ["below"]), helper.make_node("Log", ["below"], ["y"])],
        [_tensor("x", TensorProto.FLOAT, ["batch", 3])],
        [_tensor("y", TensorProto.FLOAT, ["batch", 3])],
        [("much", np.array([100], np.float32))],
    )


def scalar(path: Path) -> Path:
    """One number, without an axis."""
    return _write(
        path,
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [_tensor("x", TensorProto.FLOAT, [])],
        [_tensor("y", TensorProto.FLOAT, [])],
    )


def runs_on(path: Path) -> Path:
    """Sums up along its first axis: what looks like a batch is one sequence."""
    return _write(
        path,
        [helper.make_node("CumSum", ["x", "axis"], ["y"])],
        [_tensor("x", TensorProto.FLOAT, ["length", 3])],
        [_tensor("y", TensorProto.FLOAT, ["length", 3])],
        [("axis", np.array(0, np.int64))],
    )


def spreads(path: Path, width: int = 2_000_000) -> Path:
    """A number, and so many of it."""
    return _write(
        path,
        [helper.make_node("Tile", ["x", "times"], ["y"])],
        [_tensor("x", TensorProto.FLOAT, ["batch", 1])],
        [_tensor("y", TensorProto.FLOAT, ["batch", width])],
        [("times", np.array([1, width], np.int64))],
    )


def labours(path: Path, rounds: int = 400) -> Path:
    """A number given back, after so many products of matrices."""
    side = 192
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["before", "turn"], ["after"]),
            helper.make_node("Identity", ["going"], ["goes"]),
        ],
        "round",
        [
            _tensor("number", TensorProto.INT64, []), _tensor("going", TensorProto.BOOL, []),
            _tensor("before", TensorProto.FLOAT, [side, side]),
        ],
        [_tensor("goes", TensorProto.BOOL, []), _tensor("after", TensorProto.FLOAT, [side, side])],
    )  # fmt: skip
    return _write(
        path,
        [
            helper.make_node("Loop", ["rounds", "true", "turn"], ["last"], body=body),
            helper.make_node("ReduceMin", ["last"], ["least"], keepdims=0),
            helper.make_node("Mul", ["least", "nothing"], ["zero"]),
            helper.make_node("Add", ["x", "zero"], ["y"]),
        ],
        [_tensor("x", TensorProto.FLOAT, ["batch", 1])],
        [_tensor("y", TensorProto.FLOAT, ["batch", 1])],
        [
            ("rounds", np.array(rounds, np.int64)), ("true", np.array(True)), ("nothing", np.array(0, np.float32)),
            ("turn", np.eye(side, dtype=np.float32)[::-1].copy()),
        ],
    )  # fmt: skip


def _tensor(name: str, kind: int, shape: Sequence[int | str]) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def _write(
    path: Path, nodes: list[Any], takes: list[Any], gives: list[Any], weights: Sequence[tuple[str, Any]] = ()
) -> Path:
    held = [numpy_helper.from_array(array, name) for name, array in weights]
    graph = helper.make_graph(nodes, path.stem, takes, gives, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    draft = path.with_suffix(".draft")
    draft.write_bytes(model.SerializeToString())
    return draft.replace(path)

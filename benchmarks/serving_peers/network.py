"""The network that every server runs, and the fastest that this machine can run it: a plain loop at batch 8.

    python -m serving_peers.network FILE THREADS SECONDS

It is made to cost as much as a small detector: 10 ms for eight pictures and 2 ms for one, fitted on this machine by
the number of its convolutions and the width of its last layers. Its first pixel chooses a row of a table with one
row, so that a picture of the right shape and type can still make it fail: a poisoned one, which nobody can tell
before the network has run.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (3, 64, 64)
BATCH = 8
NAME = "pictures"
POISON = 99.0
_CHANNELS = 32
_BATCH_MS, _ONE_MS = 10.0, 2.0


def make(folder: Path, threads: int) -> tuple[Path, Path]:
    """The file, fitted to this machine, the same for all servers of one run; and one that answers otherwise."""
    path = folder / f"{NAME}.onnx"
    layers, width, best = 8, 2048, (float("inf"), 8, 2048)
    for _ in range(8):
        path.write_bytes(_network(layers, width))
        one, many = _times(path, threads)
        off = abs(np.log(many / _BATCH_MS)) + abs(np.log(one / _ONE_MS)) / 2
        best = min(best, (off, layers, width))
        if off < 0.08:
            break
        each = (many - one) / (BATCH - 1)  # what one more picture costs; the rest is paid once a call
        wanted = (_BATCH_MS - _ONE_MS) / (BATCH - 1)
        layers = int(np.clip(round(layers * wanted / each), layers // 2, 2 * layers)) or 1
        width = int(np.clip(width * (_ONE_MS - wanted) / max(one - each, 0.1), width / 2, 2 * width)) // 16 * 16
        width = min(max(width, 64), 4096)
    _, layers, width = best
    path.write_bytes(_network(layers, width))
    other = folder / "other" / path.name
    other.parent.mkdir()
    other.write_bytes(_network(layers, width, seed=6))
    return path, other


def pictures(count: int) -> np.ndarray:
    """Pictures that it can answer, the same ones every time."""
    return np.random.default_rng(3).random((count, *SHAPE), np.float32)


def session(path: Path, threads: int) -> Any:
    """The file in ONNX Runtime, as every server here opens it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # the poisoned picture is meant to fail
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _network(layers: int, width: int, seed: int = 5) -> bytes:
    from onnx import helper, numpy_helper

    chance = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {
        "start": np.zeros(4, np.int64),
        "end": np.array([2**31, 1, 1, 1], np.int64),
        "axes": np.arange(4, dtype=np.int64),
        "flat": np.array([-1], np.int64),
        "row": np.zeros((1, 1), np.float32),
    }
    nodes = []

    def add(kind: str, takes: list[str], gives: str, **options: Any) -> str:
        nodes.append(helper.make_node(kind, takes, [gives], **options))
        return gives

    def weight(name: str, *shape: int) -> str:
        weights[name] = (chance.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
        return name

    now, before = "images", SHAPE[0]
    for number in range(layers):
        kernel = weight(f"kernel{number}", _CHANNELS, before, 3, 3)
        strides = [2, 2] if number == 0 else [1, 1]
        now = add("Conv", [now, kernel], f"conv{number}", pads=[1] * 4, strides=strides)
        now, before = add("Relu", [now], f"relu{number}"), _CHANNELS
    now = add("AveragePool", [now], "pooled", kernel_shape=[4, 4], strides=[4, 4])
    now = add("Flatten", [now], "features")
    now = add("Gemm", [now, weight("wide", width, _CHANNELS * 64)], "hidden0", transB=1)
    now = add("Gemm", [add("Relu", [now], "hidden1"), weight("last", 10, width)], "plain", transB=1)
    first = add("Slice", ["images", "start", "end", "axes"], "corner")
    index = add("Cast", [add("Reshape", [first, "flat"], "pixels")], "index", to=7)
    add("Add", [now, add("Gather", ["row", index], "chosen")], "scores")
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("images", 1, ["batch", *SHAPE])],
        [helper.make_tensor_value_info("scores", 1, ["batch", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def _times(path: Path, threads: int, seconds: float = 0.5) -> tuple[float, float]:
    """Milliseconds of a call with one picture, and of one with eight, on a machine that is not busy."""
    opened = session(path, threads)
    return _call(opened, 1, seconds, 0.1), _call(opened, BATCH, seconds, 0.1)


def _call(opened: Any, batch: int, seconds: float, quantile: float) -> float:
    feeds, taken, until = {"images": pictures(batch)}, [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        opened.run(["scores"], feeds)
        taken.append(time.perf_counter() - began)
    return 1000 * float(np.quantile(taken, quantile))


def _limit(path: Path, threads: int, seconds: float) -> dict[str, float]:
    """Pictures a second at batch 8, whole time over whole count, and the milliseconds of one alone."""
    opened, feeds, done = session(path, threads), {"images": pictures(BATCH)}, 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        opened.run(["scores"], feeds)
        done += BATCH
    rate = done / (time.perf_counter() - began)
    return {"rate": rate, "one_ms": _call(opened, 1, seconds / 2, 0.5), "batch_ms": 1000 * BATCH / rate}


if __name__ == "__main__":
    print(json.dumps(_limit(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))

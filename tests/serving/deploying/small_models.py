"""Models of one step, with whatever names, shapes and passports a test wants; and what is hostile about a name."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from throughline.contracts.artifacts import Artifact
from throughline.models import passport as passports
from throughline.models.artifact import read_artifact
from throughline.serving.deploying import Order
from throughline.serving.deploying._model import cleared

HOSTILE = (
    '"; touch pwned; "',
    "$(touch pwned)",
    "`touch pwned`",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "x\nRUN touch pwned",
    'x"]\nUSER root\nCMD ["sh',
    "x\\",
    "a: b # c",
    "- !!python/object/apply:os.system ['touch pwned']",
    "&anchor *anchor",
    'x" } backend: "python',
    "x'\"\\' }",
    "../../etc/passwd",
    "${HOME}",
    "%(name)s {0} {name}",
    "\x1b[2Jboo",
    "\u202etxt",
    "Straße 摄像头",
    "-rf",
    "y",
    "null",
    "1e3",
)


def write_model(
    path: Path,
    *,
    shape: Sequence[int | str] = ("batch", 3),
    inputs: Sequence[str] = ("x",),
    output: str = "y",
    dtype: int = TensorProto.FLOAT,
    rows_out: str | int | None = None,
) -> Path:
    """The sum of some inputs; ``rows_out`` sums over the rows as well, and leaves one that is called so."""
    specs = [helper.make_tensor_value_info(name, dtype, list(shape)) for name in inputs]
    nodes, total = [], inputs[0]
    for number, name in enumerate(inputs[1:]):
        nodes.append(helper.make_node("Add", [total, name], [f"sum {number}"]))
        total = f"sum {number}"
    ends = list(shape)
    if rows_out is not None:
        axes = helper.make_node("Constant", [], ["axes"], value_ints=[0])
        nodes += [axes, helper.make_node("ReduceSum", [total, "axes"], [output], keepdims=1)]
        ends = [rows_out, *shape[1:]]
    else:
        nodes.append(helper.make_node("Identity", [total], [output]))
    graph = helper.make_graph(nodes, "small", specs, [helper.make_tensor_value_info(output, dtype, ends)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def issued(path: Path, **changes: Any) -> Artifact:
    """The model with a passport that says this."""
    known = read_artifact(path).passport
    passports.issue(path, dataclasses.replace(known, **changes), vouch=True)
    return read_artifact(path)


def order_of(path: Path, out: Path, **given: Any) -> Order:
    model, kind = cleared(path, False)
    return Order(model, kind, **{"name": "small", "image": "registry.example.com/small:1", "out": out, **given})

"""Real ONNX files whose outputs are what a test says, whatever picture goes in: each family's layout, run for real.

The outputs follow the batch where the published model's do: a constant is added to
nothing but the input's own mean times zero, once for each frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.models.session import open_model


def run(
    path: Path,
    outputs: Mapping[str, Array],
    *,
    canvas: tuple[int, int],
    metadata: Mapping[str, str] | None = None,
    extra: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Write a model that returns these outputs for one frame, and what the runtime gives for it."""
    write(path, outputs, canvas=canvas, metadata=metadata, extra=extra)
    with open_model(path, backend="onnxruntime", threads=1) as session:
        return session.predict({"images": np.zeros((1, 3, *canvas), np.float32), **(extra or {})})


def write(
    path: Path,
    outputs: Mapping[str, Array],
    *,
    canvas: tuple[int, int],
    metadata: Mapping[str, str] | None = None,
    extra: Mapping[str, Array] | None = None,
) -> Path:
    from onnx import TensorProto, checker, helper, numpy_helper, save

    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    weights = [numpy_helper.from_array(np.zeros((), np.float32), "zero")]
    declared = []
    for name, value in outputs.items():
        weights.append(numpy_helper.from_array(value, f"{name}_value"))
        nodes.append(helper.make_node("CastLike", ["nothing", f"{name}_value"], [f"{name}_nothing"]))
        nodes.append(helper.make_node("Add", [f"{name}_value", f"{name}_nothing"], [name]))
        declared.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape))
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, *canvas))]
    for name, value in (extra or {}).items():
        inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape))
    graph = helper.make_graph(nodes, "constant", inputs, declared, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, dict(metadata or {}))
    checker.check_model(model)
    save(model, str(path))
    return path

"""Small networks with answers that numpy can work out: what the backend conformance suite runs.

Each is one question asked of a backend: does a convolution come out right, do half and
integer tensors keep their type, what happens to an output that has no batch axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from throughline.contracts.artifacts import Array, TensorSpec

_KERNEL = np.random.default_rng(11).uniform(-1, 1, (4, 3, 1, 1)).astype(np.float32)
_BIAS = np.array([0.5, -0.25, 0.0, 1.0], np.float32)
_OPSET = 20
_IR_VERSION = 10


@dataclass(frozen=True, slots=True)
class Network:
    """A network: what it takes and returns, its ONNX nodes, and the same computed by numpy.

    ``nodes`` are (operator, inputs, outputs, attributes).
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    nodes: tuple[tuple[str, tuple[str, ...], tuple[str, ...], Mapping[str, Any]], ...]
    reference: Callable[[Mapping[str, Array]], dict[str, Array]]
    weights: Mapping[str, Array]

    def feeds(self, batch: int, *, seed: int = 0, side: int = 8) -> dict[str, Array]:
        """Arrays to feed it, the same ones for the same arguments."""
        random = np.random.default_rng(seed)
        made: dict[str, Array] = {}
        for spec in self.inputs:
            sizes = [batch if axis == 0 else size for axis, size in enumerate(spec.shape)]
            shape = tuple(size if isinstance(size, int) else side for size in sizes)
            values = random.uniform(-3, 3, shape)
            made[spec.name] = np.asarray(values > 0 if spec.dtype == "bool" else values, np.dtype(spec.dtype))
        return made

    def onnx(self) -> bytes:
        """The network as an ONNX file's bytes."""
        from onnx import checker, helper, numpy_helper

        def declared(spec: TensorSpec) -> Any:
            return helper.make_tensor_value_info(
                spec.name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), list(spec.shape)
            )

        graph = helper.make_graph(
            [helper.make_node(kind, takes, gives, **options) for kind, takes, gives, options in self.nodes],
            self.name,
            [declared(spec) for spec in self.inputs],
            [declared(spec) for spec in self.outputs],
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        checker.check_model(model)
        return bytes(model.SerializeToString())


def _convolve(feeds: Mapping[str, Array]) -> dict[str, Array]:
    images = np.maximum(feeds["images"], 0)
    features = np.einsum("oc,bchw->bohw", _KERNEL[:, :, 0, 0], images) + _BIAS[:, None, None]
    return {"features": features, "scores": features.mean((2, 3))}


def _convolution(name: str, batch: int | str, height: int | str, width: int | str) -> Network:
    return Network(
        name,
        (TensorSpec("images", "float32", (batch, 3, height, width)),),
        (TensorSpec("features", "float32", (batch, 4, height, width)), TensorSpec("scores", "float32", (batch, 4))),
        (
            ("Relu", ("images",), ("positive",), {}),
            ("Conv", ("positive", "kernel", "bias"), ("features",), {}),
            ("ReduceMean", ("features", "axes"), ("scores",), {"keepdims": 0}),
        ),
        _convolve,
        {"kernel": _KERNEL, "bias": _BIAS, "axes": np.array([2, 3], np.int64)},
    )


def _row(name: str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, dtype, ("batch", 4))


CONVOLUTION = _convolution("convolution", "batch", "height", "width")
FIXED = _convolution("fixed", 4, 8, 8)

TYPES = Network(
    "types",
    (_row("half", "float16"), _row("whole", "int64"), _row("flag", "bool")),
    (_row("doubled", "float16"), _row("next", "int64"), _row("negated", "bool")),
    (
        ("Add", ("half", "half"), ("twice",), {}),
        ("Where", ("flag", "twice", "half"), ("doubled",), {}),
        ("Add", ("whole", "one"), ("next",), {}),
        ("Not", ("flag",), ("negated",), {}),
    ),
    lambda feeds: {
        "doubled": np.where(feeds["flag"], feeds["half"] * 2, feeds["half"]),
        "next": feeds["whole"] + 1,
        "negated": ~feeds["flag"],
    },
    {"one": np.array(1, np.int64)},
)

SCALAR = Network(
    "scalar",
    (_row("x"), TensorSpec("scale", "float32", ())),
    (_row("scaled"),),
    (("Mul", ("x", "scale"), ("scaled",), {}),),
    lambda feeds: {"scaled": feeds["x"] * feeds["scale"]},
    {},
)

PASSING = Network(
    "passing",
    (_row("x"),),
    (_row("same"),),
    (("Identity", ("x",), ("same",), {}),),
    lambda feeds: {"same": feeds["x"]},
    {},
)


def _logarithm(feeds: Mapping[str, Array]) -> dict[str, Array]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"logarithm": np.log(feeds["x"])}


LOGARITHM = Network(
    "logarithm", (_row("x"),), (_row("logarithm"),), (("Log", ("x",), ("logarithm",), {}),), _logarithm, {}
)

WITHOUT_BATCH = Network(
    "without_batch",
    (_row("x"),),
    (TensorSpec("total", "float32", (4,)),),
    (("ReduceSum", ("x", "axes"), ("total",), {"keepdims": 0}),),
    lambda feeds: {"total": feeds["x"].sum(0)},
    {"axes": np.array([0], np.int64)},
)

NETWORKS = (CONVOLUTION, FIXED, TYPES, SCALAR, PASSING, LOGARITHM, WITHOUT_BATCH)

"""A graph that lets itself be looked into: its layers in order, and the tensors between them on real inputs.

The graph runs as it is written; an optimiser would merge away what is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np

from throughline.contracts.artifacts import Array
from throughline.contracts.errors import InputError, ModelRefused
from throughline.models.precision import known_shapes

_PASSING = {"Identity", "Cast", "QuantizeLinear", "DequantizeLinear", "Constant", "Dropout"}
"""Operators that are no layers: what they give is what they took, in another dress."""


@final
@dataclass(frozen=True, slots=True)
class Layer:
    """One node and its first result.

    Attributes:
        takes: the tensors that go into it, constants apart.
        shape: of its result, with open axes filled in; empty where it is not known.
    """

    name: str
    op: str
    tensor: str
    takes: tuple[str, ...]
    shape: tuple[int, ...]


class Inside(Protocol):
    """What ``first_parting`` asks of a graph."""

    inputs: tuple[str, ...]
    results: tuple[str, ...]
    layers: tuple[Layer, ...]
    makers: dict[str, Layer]
    input_size: int

    def shown(self, tensor: str) -> str:
        """The tensor to look at for this one: what is left of it after rounding, where it is rounded."""

    def run(self, feed: Mapping[str, Array], tensors: Sequence[str]) -> dict[str, Array]:
        """These tensors, on one input."""


def look_inside(path: Path) -> Inside:
    """Open a graph to look into it."""
    if path.suffix.lower() == ".onnx":
        return OnnxInside(path)
    if path.suffix.lower() == ".xml":
        return OpenVinoInside(path)
    raise InputError(f"{path}: a {path.suffix} cannot be looked into", "give the ONNX file or the IR it was made from")


@final
class OnnxInside:
    """An ONNX graph."""

    def __init__(self, path: Path) -> None:
        import onnx

        from throughline.models.loading.onnx_guard import check_onnx
        from throughline.models.transforms._graph import inputs, name_nodes

        check_onnx(path)
        self._path = path
        self._model = onnx.load(path)
        name_nodes(self._model.graph.node)
        shapes = known_shapes(self._model)
        nodes = self._model.graph.node
        weights = {tensor.name for tensor in self._model.graph.initializer}
        weights |= {name for node in nodes if node.op_type == "Constant" for name in node.output}
        self.inputs = tuple(value.name for value in inputs(self._model))
        self.results = tuple(value.name for value in self._model.graph.output)
        self.input_size = max((int(np.prod(shapes.get(name, (1,)))) for name in self.inputs), default=1)
        self.makers: dict[str, Layer] = {}
        made: list[Layer] = []
        self._dequantised: dict[str, str] = {}
        quantised: dict[str, str] = {}
        for node in nodes:
            if node.op_type == "QuantizeLinear":
                quantised[node.output[0]] = node.input[0]
            elif node.op_type == "DequantizeLinear" and node.input[0] in quantised:
                self._dequantised.setdefault(quantised[node.input[0]], node.output[0])
            takes = tuple(name for name in node.input if name and name not in weights)
            for number, tensor in enumerate(filter(None, node.output)):
                layer = Layer(node.name, node.op_type, tensor, takes, shapes.get(tensor, ()))
                self.makers[tensor] = layer
                if (
                    number == 0
                    and takes
                    and node.op_type not in _PASSING
                    and not _folds(takes, self.makers, self.inputs)
                ):
                    made.append(layer)
        for name in self.results:
            if name in self.makers and all(layer.tensor != name for layer in made):
                made.append(self.makers[name])
        self.layers = tuple(made)

    def shown(self, tensor: str) -> str:
        """What is left of a tensor after a pair of QuantizeLinear and DequantizeLinear, where one follows it."""
        return self._dequantised.get(tensor, tensor)

    def run(self, feed: Mapping[str, Array], tensors: Sequence[str]) -> dict[str, Array]:
        """These tensors, with ONNX Runtime's optimiser off."""
        from throughline.models.transforms._running import Opened, with_outputs

        opened = Opened(with_outputs(self._model, list(tensors)), list(dict.fromkeys(tensors)))
        return opened.run({name: _as(feed[name], self._kind(name)) for name in self.inputs if name in feed})

    def _kind(self, name: str) -> Any:
        from onnx import helper

        value = next(value for value in self._model.graph.input if value.name == name)
        return helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


@final
class OpenVinoInside:
    """An OpenVINO graph, whose tensors kept the names they had before."""

    def __init__(self, path: Path) -> None:
        import openvino

        from throughline.models.loading.openvino_guard import check_openvino

        check_openvino(path)
        self._core = openvino.Core()
        self._path = path
        model = self._core.read_model(path)
        self.inputs = tuple(_name(port) for port in model.inputs)
        self.results = tuple(_name(port) for port in model.outputs)
        self.input_size = 1
        self.makers: dict[str, Layer] = {}
        made: list[Layer] = []
        varying: set[str] = set()
        self._rounded: dict[str, str] = {}
        for node in model.get_ordered_ops():
            kind = node.get_type_name()
            if kind in ("Constant", "Result"):
                continue
            for port in node.outputs():
                name = _name(port)
                takes = tuple(_name(one.get_source_output()) for one in node.inputs())
                takes = tuple(one for one in takes if one in varying)
                if kind == "Parameter" or takes:
                    varying.add(name)
                if kind == "Parameter" or not takes:
                    continue
                shape = port.get_partial_shape()
                known = () if shape.rank.is_dynamic else tuple(0 if s.is_dynamic else s.get_length() for s in shape)
                layer = Layer(node.get_friendly_name(), kind, name, takes, known)
                for other in sorted(port.get_names()) or [name]:
                    self.makers.setdefault(other, layer)
                self.makers[name] = layer
                if kind == "FakeQuantize":
                    self._rounded.setdefault(takes[0], name)
                elif kind != "Convert":
                    made.append(layer)
        self.layers = tuple(made)

    def shown(self, tensor: str) -> str:
        """What a FakeQuantize leaves of a tensor, where one follows it."""
        return self._rounded.get(tensor, tensor)

    def run(self, feed: Mapping[str, Array], tensors: Sequence[str]) -> dict[str, Array]:
        """These tensors."""
        wanted = list(dict.fromkeys(tensors))
        model = self._core.read_model(self._path)
        inner = [node for node in model.get_ops() if node.get_type_name() != "Result"]
        ports = {name: port for node in inner for port in node.outputs() for name in _names(port)}
        if missing := [name for name in wanted if name not in ports]:
            raise ModelRefused(f"{self._path}: there is no tensor '{missing[0]}' inside", "")
        places = {name: number for number, port in enumerate(model.outputs) for name in _names(port)}
        results = len(model.outputs)
        fresh = [name for name in wanted if name not in places]
        for number, name in enumerate(fresh):  # what is inside often has no name by which a result could be asked for
            ports[name].get_tensor().add_names({f"throughline_{number}"})
            places[name] = results + number
        model.add_outputs([f"throughline_{number}" for number in range(len(fresh))])
        compiled = self._core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        kinds = {name: port.get_element_type().to_dtype() for port in model.inputs for name in _names(port)}
        request = compiled.create_infer_request()
        request.infer({name: _as(array, kinds[name]) for name, array in feed.items() if name in kinds})
        return {name: np.array(request.get_output_tensor(places[name]).data) for name in wanted}


def _folds(takes: Sequence[str], makers: Mapping[str, Layer], inputs: Sequence[str]) -> bool:
    """Whether a node works on constants alone, some nodes before."""
    return not any(name in inputs or (name in makers and makers[name].takes) for name in takes)


def _as(array: Array, kind: Any) -> Array:
    return array.astype(kind, copy=False)


def _name(port: Any) -> str:
    return min(port.get_names(), default=f"{port.get_node().get_friendly_name()}.{port.get_index()}")


def _names(port: Any) -> list[str]:
    return [*port.get_names(), _name(port)]

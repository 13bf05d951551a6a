"""OpenVINO: the fastest backend on most Intel CPUs; opens its own IR, and ONNX directly.

Left alone it computes in whatever precision the CPU is quickest at, so the precision is
said here: ``float32``, or half where the graph itself is half. What cannot be said is
checked: its CPU plugin narrows 64-bit numbers to 32 bits, so integers that would not
survive are refused and ``float64`` graphs carry a note.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from throughline.contracts.artifacts import Array, TensorSpec
from throughline.contracts.errors import InputError
from throughline.models.backends import ANY_SHAPE, UNNAMED, Runner, failure
from throughline.models.formats.openvino import ASKED_PRECISION
from throughline.plugins import Plugin

_HALVES = ("f16", "bf16")
_DTYPES = {
    "boolean": "bool",
    **{f"f{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}
_INT32 = np.iinfo(np.int32)
_FIRST = threading.Lock()


@final
class OpenVinoRunner(Runner):
    """One compiled model; each concurrent call has an infer request of its own."""

    def __init__(
        self, path: Path, threads: int, lanes: int, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> None:
        import openvino

        with _FIRST:
            # The first array of all that OpenVINO shows to Python sets its bindings up, under a lock of theirs and
            # without Python's: two threads that come to it at once wait for each other for ever. Here one comes alone.
            _ = openvino.Tensor(openvino.Type.f32, openvino.Shape([1])).data
        core = openvino.Core()
        try:
            model = core.read_model(path)
            half = _half(model) or _asked(model)
            self._compiled = core.compile_model(
                model,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": half or "f32",
                    "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
                    "INFERENCE_NUM_THREADS": threads,
                    "PERFORMANCE_HINT": "LATENCY",
                    "NUM_STREAMS": lanes,
                },
            )
        except Exception as error:
            raise failure(error, f"{path}: OpenVINO cannot open it") from None
        self.inputs = _specs(model.inputs, inputs, "input")
        self.outputs = _specs(model.outputs, outputs, "output")
        self._wide = [spec.name for spec in self.inputs if spec.dtype in {"int64", "uint64"}]
        self._idle: list[Any] = []
        notes = []
        if half and self._compiled.get_property("INFERENCE_PRECISION_HINT").to_dtype() == np.float32:
            notes.append("the model is half precision; OpenVINO computes it in float32 on this processor")
        if any(spec.dtype == "float64" for spec in (*self.inputs, *self.outputs)):
            notes.append("the model is float64; OpenVINO computes it in float32")
        self.notes = tuple(notes)

    def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run one request, and keep it for the next call."""
        for name in self._wide:
            if feeds[name].size and not _INT32.min <= feeds[name].min() <= feeds[name].max() <= _INT32.max:
                raise InputError(
                    f"'{name}' holds numbers beyond 32 bits, to which OpenVINO narrows them",
                    "use the backend onnxruntime for this model",
                )
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            # not infer(): on one thread it swallows every error and returns the previous answers
            request.start_async([feeds[spec.name] for spec in self.inputs])
            request.wait()
            answers = {
                spec.name: request.get_output_tensor(index).data.copy() for index, spec in enumerate(self.outputs)
            }
        except Exception as error:
            del request  # one that failed half-way still holds what it had allocated
            self._compiled.release_memory()
            raise failure(error, "OpenVINO could not run the model") from None
        self._idle.append(request)
        return answers

    def close(self) -> None:
        """Let go of the compiled model and its requests."""
        self._idle.clear()
        del self._compiled


def _open(
    path: Path,
    *,
    device: str,
    threads: int,
    lanes: int = 1,
    inputs: tuple[TensorSpec, ...] = (),
    outputs: tuple[TensorSpec, ...] = (),
) -> Runner:
    del device  # only the CPU is offered
    return OpenVinoRunner(path, threads, lanes, inputs, outputs)


def _half(model: Any) -> str | None:
    """The half type that the graph computes in; None where halves are at most how weights are stored."""
    for operation in model.get_ordered_ops():
        if operation.get_type_name() not in {"Constant", "Convert"}:
            for port in operation.outputs():
                if (name := port.get_element_type().get_type_name()) in _HALVES:
                    return str(name)
    return None


def _asked(model: Any) -> str | None:
    """What a graph of floats asks to be computed in, where it asks."""
    where = list(ASKED_PRECISION)
    return "bf16" if model.has_rt_info(where) and model.get_rt_info(where).astype(str) == "bfloat16" else None


def _specs(ports: Sequence[Any], known: Sequence[TensorSpec], kind: str) -> tuple[TensorSpec, ...]:
    return tuple(
        _spec(port, known[index] if len(known) == len(ports) else None, f"{kind}{index}")
        for index, port in enumerate(ports)
    )


def _spec(port: Any, known: TensorSpec | None, fallback: str) -> TensorSpec:
    kind = port.get_element_type().get_type_name()
    if kind not in _DTYPES:
        raise InputError(
            f"{fallback} is {kind}, which numpy cannot hold", "export the model again with float32 inputs and outputs"
        )
    names = sorted(port.get_names())
    name = known.name if known and known.name in names else next(iter(names), fallback)
    sizes = port.get_partial_shape()
    if sizes.rank.is_dynamic:
        shape: tuple[int | str, ...] = ANY_SHAPE
    else:
        shape = tuple(UNNAMED if size.is_dynamic else size.get_length() for size in sizes)
    if known and len(known.shape) == len(shape):  # only the exporter's file remembers what a dynamic axis is called
        pairs = zip(shape, known.shape, strict=True)
        shape = tuple(name if size == UNNAMED and isinstance(name, str) else size for size, name in pairs)
    return TensorSpec(name, _DTYPES[kind], shape)


PLUGIN = Plugin(
    make=_open,
    summary="OpenVINO IR and ONNX files on the CPU",
    needs=("openvino",),
    facts={"formats": ("openvino", "onnx"), "devices": lambda: ("cpu",), "lanes": True},
)

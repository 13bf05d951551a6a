"""TensorRT 11: engines compiled for one kind of NVIDIA GPU.

Networks are strongly typed and tensors are named, so an engine says itself what it
takes, returns and how large a batch its profile allows. Calls take turns on one
execution context: the GPU runs them one after the other anyway, and a context for
each thread would multiply the memory. ``tensorrt_rtx`` is the same code over its sibling.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np

from throughline.contracts.artifacts import Array, TensorSpec
from throughline.contracts.errors import InputError, ModelRefused
from throughline.hardware import detect
from throughline.models.backends import UNNAMED, Runner, failure
from throughline.plugins import Plugin

_PROFILE = 0
_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    **{name.upper(): name for name in ("bool", "int8", "int32", "int64", "uint8")},
}


@final
class TensorRtRunner(Runner):
    """One engine, one execution context, one stream."""

    def __init__(self, module: str, path: Path, device: str, known: Sequence[TensorSpec]) -> None:
        from throughline.models.backends._cuda import Device

        self._trt = importlib.import_module(module)
        self._lock = threading.Lock()
        self._buffers: dict[str, tuple[int, int]] = {}
        self._log = logger(module)
        self._gpu = Device(int(device.removeprefix("gpu:")))
        try:
            with self._gpu.current():
                self._open(module, path)
        except BaseException:
            self._gpu.release()
            raise
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        by_name = {spec.name: spec for spec in known}
        self.inputs = tuple(self._spec(path, name, by_name) for name in names if self._is_input(name))
        self.outputs = tuple(self._spec(path, name, by_name) for name in names if not self._is_input(name))
        self.max_batch = self._profile_batch()

    def _open(self, module: str, path: Path) -> None:
        self._runtime = self._trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(_engine(path))
        if self._engine is None:
            raise ModelRefused(
                f"{path}: {module} cannot open this engine: {self._log.last()}",
                "build it again on this machine: engines fit one version of the library and one kind of GPU",
            )
        self._context = self._engine.create_execution_context(*self._settings())
        if self._context is None:
            raise failure(RuntimeError(self._log.last()), f"{path}: {module} cannot run this engine")
        self._stream = self._gpu.stream()

    def _settings(self) -> tuple[Any, ...]:
        strategies = getattr(self._trt, "DynamicShapesKernelSpecializationStrategy", None)
        if strategies is None:
            return ()
        # RTX would swap kernels between two calls, and the same feeds would give other bytes
        settings = self._engine.create_runtime_config()
        settings.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        return (settings,)

    def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Copy in, run, copy out."""
        with self._lock, self._gpu.current():
            kept = [self._feed(spec.name, feeds[spec.name]) for spec in self.inputs]
            if unset := self._context.infer_shapes():
                raise InputError(f"the engine cannot tell the shape of {', '.join(unset)} from these inputs")
            answers = {spec.name: self._prepare(spec) for spec in self.outputs}
            if not self._context.execute_async_v3(self._stream):
                raise failure(RuntimeError(self._log.last()), "TensorRT could not run the engine")
            for name, array in answers.items():
                self._gpu.download(array, self._buffers[name][0], self._stream)
            self._gpu.synchronize(self._stream)
            del kept
            return answers

    def close(self) -> None:
        """Give the GPU back what the engine held."""
        with self._lock, self._gpu.current():
            del self._context, self._engine, self._runtime
            for pointer, _ in self._buffers.values():
                self._gpu.free(pointer)
            self._gpu.end_stream(self._stream)
        self._gpu.release()

    def gpu_bytes(self) -> int | None:
        """Weights, working memory and the buffers of inputs and outputs."""
        weights = self._engine.get_engine_stat(self._trt.EngineStat.TOTAL_WEIGHTS_SIZE)
        return int(self._engine.device_memory_size_v2 + weights + sum(size for _, size in self._buffers.values()))

    def _feed(self, name: str, array: Array) -> Array:
        array = np.ascontiguousarray(array)
        if not self._context.set_input_shape(name, array.shape):
            least, _, most = self._engine.get_tensor_profile_shape(name, _PROFILE)
            raise InputError(
                f"'{name}' has shape {list(array.shape)}; this engine takes {list(least)} to {list(most)}",
                "build the engine for these sizes",
            )
        self._gpu.upload(self._buffer(name, array.nbytes), array, self._stream)
        return array

    def _prepare(self, spec: TensorSpec) -> Array:
        shape = tuple(self._context.get_tensor_shape(spec.name))
        if min(shape, default=0) < 0:
            raise InputError(
                f"how large output '{spec.name}' is depends on the data, which engines are not run with here",
                "export the model without non-maximum suppression inside the graph",
            )
        array = np.empty(shape, np.dtype(spec.dtype))
        self._buffer(spec.name, array.nbytes)
        return array

    def _buffer(self, name: str, size: int) -> int:
        pointer, has = self._buffers.get(name, (0, -1))
        if has < size:
            if pointer:
                self._gpu.free(self._buffers.pop(name)[0])
            pointer = self._gpu.allocate(size)
            self._buffers[name] = (pointer, size)
        self._context.set_tensor_address(name, pointer)
        return pointer

    def _is_input(self, name: str) -> bool:
        return bool(self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT)

    def _spec(self, path: Path, name: str, known: Mapping[str, TensorSpec]) -> TensorSpec:
        if self._engine.get_tensor_location(name) != self._trt.TensorLocation.DEVICE:
            raise InputError(
                f"{path}: '{name}' is a shape and not data", "build the engine from a model whose inputs are data alone"
            )
        sizes = tuple(self._engine.get_tensor_shape(name))
        names = known[name].shape if name in known and len(known[name].shape) == len(sizes) else (UNNAMED,) * len(sizes)
        shape = tuple(
            size if size >= 0 else (name if isinstance(name, str) else UNNAMED)
            for size, name in zip(sizes, names, strict=True)
        )
        dtype = self._engine.get_tensor_dtype(name).name
        if dtype not in _DTYPES:
            raise InputError(
                f"{path}: '{name}' is {dtype}, which numpy cannot hold", "give it float inputs and outputs"
            )
        return TensorSpec(name, _DTYPES[dtype], shape)

    def _profile_batch(self) -> int | None:
        carriers = [spec for spec in self.inputs if spec.shape and isinstance(spec.shape[0], str)]
        return min(
            (self._engine.get_tensor_profile_shape(spec.name, _PROFILE)[2][0] for spec in carriers), default=None
        )


def open_engine(module: str, path: Path, device: str, known: Sequence[TensorSpec]) -> Runner:
    """Open an engine with TensorRT or a module of the same shape."""
    return TensorRtRunner(module, path, device, known)


def gpus() -> tuple[str, ...]:
    """Every NVIDIA GPU; engines run nowhere else."""
    return tuple(f"gpu:{gpu.index}" for gpu in detect().gpus)


def _engine(path: Path) -> bytes:
    """The engine in a file, without the length and JSON that YOLO exports put before it."""
    content = path.read_bytes()
    return content[4 + int.from_bytes(content[:4], "little") :] if content[4:5] == b"{" else content


@cache
def logger(module: str) -> Any:
    """Keeps what TensorRT logs as an error, since its calls only return False.

    One for the process, for building and for running: the library keeps the first that it is given, and ignores any
    other.
    """
    trt: Any = importlib.import_module(module)

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self._errors = [*self._errors[-4:], message.strip()]

        def last(self) -> str:
            errors, self._errors = self._errors, []
            return "; ".join(errors) or "it gave no reason"

    return Logger()


def _open(
    path: Path,
    *,
    device: str,
    threads: int,
    inputs: tuple[TensorSpec, ...] = (),
    outputs: tuple[TensorSpec, ...] = (),
) -> Runner:
    del threads  # the work is the GPU's
    return open_engine("tensorrt", path, device, (*inputs, *outputs))


PLUGIN = Plugin(
    make=_open,
    summary="TensorRT engines on an NVIDIA GPU",
    needs=("tensorrt",),
    extra="tensorrt",
    facts={"formats": ("tensorrt",), "devices": gpus},
)

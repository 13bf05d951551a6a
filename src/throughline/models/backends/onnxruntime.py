"""ONNX Runtime: the backend that opens every ONNX file, on the CPU or an NVIDIA GPU.

Two of its defaults are not ours. It silently runs on the CPU when a GPU provider fails
to load: the providers it really took are checked. Its memory arena keeps the largest
batch ever seen for the life of the process: it is off, which costs no measurable time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from throughline.contracts.artifacts import Array, TensorSpec
from throughline.contracts.errors import InputError, Unavailable
from throughline.hardware import detect
from throughline.models.backends import UNNAMED, Runner, failure
from throughline.plugins import Plugin

_DTYPES = {
    "float": "float32",
    "double": "float64",
    "string": "object",
    **{name: name for name in ("float16", "bool", "int8", "int16", "int32", "int64")},
    **{name: name for name in ("uint8", "uint16", "uint32", "uint64")},
}
_FATAL_ONLY = 4


@final
class OnnxRuntimeRunner(Runner):
    """One ``InferenceSession``, which is itself safe to share between threads."""

    def __init__(self, path: Path, device: str, threads: int, lanes: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads // lanes
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = lanes > 1  # keeping memory is a twentieth faster, and it never goes back
        options.log_severity_level = _FATAL_ONLY  # an error is raised; it need not be printed, too
        options.add_session_config_entry("session.force_spinning_stop", "1")
        provider, settings = _provider(device)
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=[provider], provider_options=[settings], enable_fallback=0
            )
        except Exception as error:
            raise failure(error, f"{path}: ONNX Runtime cannot open it") from None
        if provider not in self._session.get_providers():
            raise Unavailable(
                f"ONNX Runtime could not use {provider}: it took {', '.join(self._session.get_providers())} instead",
                "install the CUDA and cuDNN versions that this onnxruntime-gpu was built for, or pass device='cpu'",
            )
        self.inputs = tuple(_spec(path, argument) for argument in self._session.get_inputs())
        self.outputs = tuple(_spec(path, argument) for argument in self._session.get_outputs())
        self._names = [spec.name for spec in self.outputs]

    def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the session once."""
        try:
            return dict(zip(self._names, self._session.run(self._names, dict(feeds)), strict=True))
        except Exception as error:
            raise failure(error, "ONNX Runtime could not run the model") from None

    def close(self) -> None:
        """Let go of the session and its memory."""
        del self._session


def _open(
    path: Path,
    *,
    device: str,
    threads: int,
    lanes: int = 1,
    inputs: tuple[TensorSpec, ...] = (),
    outputs: tuple[TensorSpec, ...] = (),
) -> Runner:
    del inputs, outputs  # an ONNX file says this itself
    return OnnxRuntimeRunner(path, device, threads, lanes)


def _devices() -> tuple[str, ...]:
    import onnxruntime

    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    return ("cpu", *(f"gpu:{gpu.index}" for gpu in detect().gpus if has_cuda))


def _provider(device: str) -> tuple[str, dict[str, str]]:
    if device == "cpu":
        return "CPUExecutionProvider", {}
    # full precision and only as much memory as is needed: the defaults are TF32 and doubling
    return "CUDAExecutionProvider", {
        "device_id": device.removeprefix("gpu:"),
        "use_tf32": "0",
        "arena_extend_strategy": "kSameAsRequested",
    }


def _spec(path: Path, argument: Any) -> TensorSpec:
    kind = argument.type.removeprefix("tensor(").removesuffix(")")
    if kind not in _DTYPES:
        raise InputError(
            f"{path}: '{argument.name}' is a {argument.type}; inputs and outputs must be tensors that numpy can hold",
            "export the model again with plain tensors (for scikit-learn: options={'zipmap': False})",
        )
    shape = tuple(size if isinstance(size, int) else size or UNNAMED for size in argument.shape)
    return TensorSpec(argument.name, _DTYPES[kind], shape)


PLUGIN = Plugin(
    make=_open,
    summary="ONNX files on the CPU or an NVIDIA GPU",
    needs=("onnxruntime",),
    facts={"formats": ("onnx",), "devices": _devices, "lanes": True},
)

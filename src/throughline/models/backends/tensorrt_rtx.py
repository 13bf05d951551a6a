"""TensorRT for RTX: the same calls as TensorRT over a smaller library, whose engines it compiles on first use."""

from __future__ import annotations

from pathlib import Path

from throughline.contracts.artifacts import TensorSpec
from throughline.models.backends import Runner
from throughline.models.backends.tensorrt import gpus, open_engine
from throughline.plugins import Plugin


def _open(
    path: Path,
    *,
    device: str,
    threads: int,
    inputs: tuple[TensorSpec, ...] = (),
    outputs: tuple[TensorSpec, ...] = (),
) -> Runner:
    del threads  # the work is the GPU's
    return open_engine("tensorrt_rtx", path, device, (*inputs, *outputs))


PLUGIN = Plugin(
    make=_open,
    summary="TensorRT-RTX engines on an NVIDIA RTX GPU",
    needs=("tensorrt_rtx",),
    extra="tensorrt",
    facts={"formats": ("tensorrt",), "devices": gpus},
)

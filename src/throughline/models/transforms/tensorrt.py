"""An engine for the NVIDIA GPU of this machine: TensorRT tries kernels on it, and keeps the fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from throughline.contracts.artifacts import Artifact
from throughline.contracts.errors import InputError
from throughline.models.transforms import Made
from throughline.models.transforms._engine import USUAL_BATCH, Wanted, build, gpu_or_refuse
from throughline.plugins import Plugin


def tensorrt(
    source: Artifact,
    target: Path,
    *,
    batch: int = USUAL_BATCH,
    imgsz: tuple[int, int] | None = None,
    profile: Mapping[str, Sequence[Sequence[int]]] | None = None,
    workspace: int | None = None,
    timing_cache: Path | None = None,
    capability: str | None = None,
) -> Made:
    """Build an engine. Its precision is the graph's: cast or quantise that first.

    Args:
        source: an ONNX graph.
        target: what to write.
        batch: the largest batch, where the graph leaves that open.
        imgsz: the height and width that it is tuned for; those of the passport when not given.
        profile: least, usual and most shapes by input, in place of what follows from batch and imgsz.
        workspace: how many MB of GPU memory the engine may use to work in; all of it when not given.
        timing_cache: a file of kernel timings: the next engine that shares layers is built sooner.
        capability: must be that of the GPU here; TensorRT builds for no other.
    """
    gpu_or_refuse("TensorRT", "build it where it is to run, or --to tensorrt_rtx with a --capability")
    from throughline.hardware import detect

    here = [gpu.compute for gpu in detect().gpus]
    if capability is not None and capability not in here:
        raise InputError(
            f"capability='{capability}': TensorRT builds for the GPU that is here, which is of {', '.join(here)}",
            "build it where it is to run, or --to tensorrt_rtx",
        )
    wanted = Wanted(batch, imgsz, profile, workspace, timing_cache)
    return build("tensorrt", "TensorRT", source, target, wanted)


PLUGIN = Plugin(
    make=tensorrt,
    summary="an engine for the NVIDIA GPU here (TensorRT)",
    needs=("tensorrt", "onnx"),
    extra="tensorrt",
    facts={"takes": ("onnx",), "gives": "tensorrt"},
)

"""An engine for an NVIDIA RTX GPU that need not be here: TensorRT-RTX builds for a named one, and tunes where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from throughline.contracts.artifacts import Artifact
from throughline.models.transforms import Made
from throughline.models.transforms._engine import USUAL_BATCH, Wanted, build, gpu_or_refuse
from throughline.plugins import Plugin


def tensorrt_rtx(
    source: Artifact,
    target: Path,
    *,
    capability: str | None = None,
    batch: int = USUAL_BATCH,
    imgsz: tuple[int, int] | None = None,
    profile: Mapping[str, Sequence[Sequence[int]]] | None = None,
    workspace: int | None = None,
) -> Made:
    """Build an engine. Its precision is the graph's: cast or quantise that first.

    Args:
        source: an ONNX graph.
        target: what to write.
        capability: the compute capability of the GPU that it is for: 8.9 (Ada), 12.0 (Blackwell), ...; that of the
            GPU here when not given.
        batch: the largest batch, where the graph leaves that open.
        imgsz: the height and width that it is tuned for; those of the passport when not given.
        profile: least, usual and most shapes by input, in place of what follows from batch and imgsz.
        workspace: how many MB of GPU memory the engine may use to work in; all of it when not given.
    """
    if capability is None:
        gpu_or_refuse("TensorRT-RTX", "name the GPU that it is for: --capability 8.9 (Ada), 12.0 (Blackwell), ...")
    wanted = Wanted(batch, imgsz, profile, workspace, None, capability)
    return build("tensorrt_rtx", "TensorRT-RTX", source, target, wanted)


PLUGIN = Plugin(
    make=tensorrt_rtx,
    summary="an engine for a named NVIDIA RTX GPU (TensorRT-RTX)",
    needs=("tensorrt_rtx", "onnx"),
    extra="tensorrt",
    facts={"takes": ("onnx",), "gives": "tensorrt"},
)

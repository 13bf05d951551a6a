"""OpenVINO IR: the same numbers in the form that opens fastest on Intel's runtime. Halves only when asked for."""

from __future__ import annotations

from pathlib import Path

from throughline.contracts.artifacts import Artifact, Step
from throughline.models.formats.openvino import ASKED_PRECISION
from throughline.models.transforms import Made
from throughline.models.transforms import _ir as ir
from throughline.models.transforms._graph import tool
from throughline.plugins import Plugin


def openvino(source: Artifact, target: Path, *, half: bool = False, bfloat16: bool = False) -> Made:
    """Write an ONNX graph as IR.

    Args:
        source: the model.
        target: the ``.xml`` to write; its weights go beside it.
        half: keep the weights in FP16. The arithmetic stays that of the graph.
        bfloat16: compute in bfloat16 where the processor has it. The weights stay what they are, and the file says
            what is asked, so that whoever opens it computes as it was proven.
    """
    model = ir.read(source, "openvino")
    if bfloat16:
        model.set_rt_info("bfloat16", list(ASKED_PRECISION))
    companions = ir.write(model, source, target, half=half)
    notes = ("weights are kept in FP16; what is computed in FP16 is up to the graph",) if half else ()
    step = Step("openvino", {"half": half, "bfloat16": bfloat16}, tool("openvino"))
    return Made(step, companions, {"precision": "bfloat16"} if bfloat16 else {}, notes)


PLUGIN = Plugin(
    make=openvino,
    summary="OpenVINO IR (.xml with its .bin)",
    needs=("openvino",),
    facts={"takes": ("onnx",), "gives": "openvino"},
)
